import pytest

from eventalarm.delivery import action
from eventalarm.exceptions import DeliveryError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("http://h/", ("http", "h", 80)),
        ("HTTPS://H.example", ("https", "h.example", 443)),
        ("http://user:pw@h:8080/a", ("http", "h", 8080)),
        ("http://[::1]:81/", ("http", "::1", 81)),
        ("trust+http://trust@h/", ("trust+http", "h", 80)),
        ("zaqar://?queue_name=q", ("zaqar", "", 0)),
        ("http://h:99999/", ("", "", 0)),
        ("http://[::1/", ("", "", 0)),
        ("log:/\n/x", ("", "", 0)),
    ],
)
def test_destinations(text, place):
    assert action.place(text) == place


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("http://h:80/a/b?c", "http://h:80/"),
        ("http://h?c=/", "http://h?"),
        ("http://h", "http://h"),
        ("zaqar://?q", "zaqar://?"),
        ("odd", "odd"),
    ],
)
def test_the_start_of_an_action_ends_behind_its_port(text, start):
    assert action.start(text) == start


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://h/a%2Fb/../c;x=%7e?q=a+b%20c&e=&=f#frag", "/a%2Fb/../c;x=%7e?q=a+b%20c&e=&=f"),
        ("http://h?x=%2f&a=b", "/?x=%2f&a=b"),
        ("http://h", "/"),
        ("http://h/?aodh-alarm-ssl-verify=0", "/?aodh-alarm-ssl-verify=0"),
        ("http://h/caf\u00e9 x", "/caf%C3%A9%20x"),
    ],
)
def test_path_and_query_stay_as_they_were_written(text, sent):
    assert action.http_url(text).raw_path_qs == sent


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///path",
        "http://h:x/",
        "http://h:99999/",
        "http://h/a\r\nX-Evil: 1",
        "http://h/\x00",
        "http://[::1/",
        "http://\u4e2d\u6587:\u4e2d@h/",
        "odd",
        "",
    ],
)
def test_what_cannot_be_called_is_a_permanent_failure(text):
    with pytest.raises(DeliveryError) as caught:
        action.http_url(text)
    assert caught.value.reason == "bad_action"
    assert caught.value.permanent
