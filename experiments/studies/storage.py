"""Where the trials of a study are kept: a file of SQLite, or a PostgreSQL server."""

import fcntl
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from experiments.errors import UserError

UNANSWERED = (StorageInternalError, DBAPIError)  # raised where a database that did answer does not any more


def connect(url):
    """Optuna's storage. SQLite waits for other processes for a minute instead of five seconds."""
    sqlite = url.startswith("sqlite")
    try:
        with making_tables(sqlalchemy.make_url(url)):
            options = {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
            return RDBStorage(url, engine_kwargs=options)
    except OSError as error:
        raise UserError(f"storage {shown(url)} cannot be written: {error.strerror}") from None
    except ImportError as error:
        raise UserError(f"storage {shown(url)} needs a driver: {error.__cause__ or error}") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise unanswered(url, error) from None


def unanswered(url, error):
    """The UserError for an error of a storage."""
    cause = error.__cause__ or error
    lines = str(getattr(cause, "orig", None) or cause).splitlines()
    return UserError(f"storage {shown(url)} does not answer: {lines[0].strip()}")


def require_answering(storage):
    """UserError where no study can be kept in a storage that the user names, before anything is made for one."""
    if storage is not None:
        connect(storage_url(None, storage))


@contextmanager
def making_tables(url):
    """One process at a time: of several that begin with an empty database, only one can make its tables."""
    if url.get_backend_name() == "sqlite":
        with file_locked(url):
            yield
        return
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("select pg_advisory_lock(hashtext('chromafill tables'))"))
            yield
            connection.invalidate()  # closes the session, and with it goes the lock
    finally:
        engine.dispose()


@contextmanager
def file_locked(url):
    """One process at a time, wherever it works: by a file beside SQLite's, which has no lock that would do."""
    with open(f"{Path(url.database).resolve()}.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def storage_url(folder, storage):
    """The URL to connect to: study.db in the study's folder, or what is given, for PostgreSQL with its driver."""
    if storage is None:
        return f"sqlite:///{folder.resolve() / 'study.db'}"
    try:
        url = sqlalchemy.make_url(storage)
    except ArgumentError:
        raise UserError(
            f"storage '{storage}' is no URL; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise UserError(f"storage must be sqlite:///FILE or postgresql://USER@HOST/DATABASE, got {shown(storage)}")
    return url.render_as_string(hide_password=False)


def shown(url):
    """A URL without its password, for people."""
    return sqlalchemy.make_url(url).render_as_string(hide_password=True)


def without_password(storage):
    """What study.json remembers: a password belongs into PGPASSWORD or ~/.pgpass."""
    if storage is None:
        return None
    url = sqlalchemy.make_url(storage)
    kept = (url.host, url.port, url.database, url.query)
    return sqlalchemy.URL.create(url.drivername, url.username, None, *kept).render_as_string()
