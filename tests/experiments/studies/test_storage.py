"""URLs of storages."""

import pytest

from experiments.errors import UserError
from experiments.studies.storage import connect, require_answering, storage_url, without_password


def test_a_study_is_kept_in_its_folder_or_where_it_is_said(tmp_path):
    assert storage_url(tmp_path, None) == f"sqlite:///{tmp_path}/study.db"
    assert storage_url(tmp_path, "postgresql://me:pw@host/db") == "postgresql+psycopg://me:pw@host/db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("studies.db", "storage 'studies.db' is no URL; expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"),
        ("mysql://me@host/x", "storage must be sqlite:///FILE or postgresql"),
        ("postgresql://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.0.0.1:1/x does not answer: "),
        ("sqlite:////nowhere/at/all.db", "cannot be written: No such file or directory"),
    ],
)
def test_a_storage_that_cannot_be_had_is_one_line_without_the_password(url, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        connect(storage_url(tmp_path, url))
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_storage_is_tried_before_a_study_is_made_and_the_folders_own_is_not(tmp_path):
    require_answering(None)
    require_answering(f"sqlite:///{tmp_path}/studies.db")
    with pytest.raises(UserError, match="cannot be written"):
        require_answering("sqlite:////nowhere/at/all.db")


def test_study_json_does_not_keep_a_password():
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me@host/db"
