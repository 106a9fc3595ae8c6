import pytest

from database import api_keys
from database.errors import Forbidden, NotFound, Unauthorized
from database.session import SessionFactory


def test_a_key_opens_what_its_scopes_say_until_it_is_revoked(sessions: SessionFactory) -> None:
    with sessions.begin() as session:
        row, extract = api_keys.create_key(session, "team", ["extract"])
        _, admin = api_keys.create_key(session, "ops", ["admin"])
        assert extract.split("_", 2)[2] not in row.sha256 + row.prefix
    with sessions.begin() as session:
        assert api_keys.find(session, extract).label == "team"
        assert api_keys.find(session, admin).label == "ops"
        with pytest.raises(Forbidden):
            api_keys.check_scope(row, "admin")
        api_keys.revoke_key(session, row.id)
        with pytest.raises(Unauthorized):
            api_keys.find(session, extract)
        with pytest.raises(NotFound):
            api_keys.revoke_key(session, "nothing")


@pytest.mark.parametrize("key", [None, "", "x", "a_b", "ad__", "ad_0_0", "ad_%_x", "ad_é_x", "\0"])
def test_what_is_no_key_is_unauthorized(sessions: SessionFactory, key: str | None) -> None:
    with pytest.raises(Unauthorized), sessions.begin() as session:
        api_keys.find(session, key)
