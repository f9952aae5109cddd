from scalemesh.main.banner import Banner

URL = "http://localhost:8000"


def test_first_run_has_the_link() -> None:
    link = f"{URL}/setup?token=sms_x"
    assert link in str(Banner(URL, "/data", link)).split()


def test_once_set_up_there_is_none() -> None:
    assert "one-time link" not in str(Banner(URL, "/data", None, "http://demo.localhost:8080"))


def test_live_site() -> None:
    assert "http://demo.localhost:8080" in str(Banner(URL, "/data", None, "http://demo.localhost:8080"))
