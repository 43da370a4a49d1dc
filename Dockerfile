# docker build -t chromafill . && docker run --rm -v "$PWD/runs:/home/chromafill/runs" chromafill train experiment=quickstart
FROM python:3.12-slim

RUN useradd --create-home chromafill
WORKDIR /opt/chromafill
COPY . .
RUN python3 -m venv .venv && . .venv/bin/activate && pip install --no-cache-dir -e .

ENV PATH=/opt/chromafill/.venv/bin:$PATH
USER chromafill
WORKDIR /home/chromafill
ENTRYPOINT ["chromafill"]
CMD ["--help"]
