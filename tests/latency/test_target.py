from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import ConfigError, PluginError, StudyError
from hwnas.latency.target import Target
from hwnas.search.executors.ray_options import check_reachable


def test_defaults() -> None:
    assert Target.parse("local") == Target("local", "", "onnxruntime-cpu", 1, ())


def test_all_keys() -> None:
    target = Target.parse("ssh://user@orin:2222?backend=tensorrt&threads=2&cores=1,4-5")
    assert target == Target("ssh", "user@orin:2222", "tensorrt", 2, (1, 4, 5))


def test_options_of_the_backend() -> None:
    target = Target.parse("local?provider=CUDAExecutionProvider&backend=onnxruntime&device=1")
    assert target.options == (("device", "1"), ("provider", "CUDAExecutionProvider"))
    assert Target.parse(target.url) == target


def test_options_of_an_unknown_backend() -> None:
    with pytest.raises(PluginError, match="Did you mean 'onnxruntime'"):
        Target.parse("local?backend=onnxruntim&provider=x")


@given(
    st.sampled_from([("local", ""), ("ssh", "user@board:22")]),
    st.text("abcdefgh-&=? ", min_size=1),
    st.integers(1, 4),
    st.sets(st.integers(0, 63), min_size=4),
)
def test_canonical_url_reads_back(
    place: tuple[str, str], backend: str, threads: int, cores: set[int]
) -> None:
    target = Target(*place, backend, threads, tuple(sorted(cores)))
    assert Target.parse(target.url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is written like"),
        ("locale", "is written like"),
        ("local://?threads=1", "is written like"),
        ("ssh://?threads=1", "user@host"),
        ("local?treads=1", "Did you mean 'threads'"),
        ("local?backend=onnxruntime&provder=x", "Did you mean 'provider'"),
        ("local?backend=onnxruntime-cpu&provider=x", "'provider' .* is unknown"),
        ("local?threads=1&threads=2", "twice"),
        ("local?threads=", "no value"),
        ("local?threads=two", "whole number"),
        ("local?threads=-1", "whole number"),
        ("local?threads=0", "at least 1"),
        ("local?threads=2&cores=1", "as many cores"),
        ("local?cores=3-1", "ascend"),
        ("local?cores=a", "whole number"),
        ("local?threads=" + "1" * 5000, "whole number"),
        ("local?cores=0-" + "1" * 5000, "whole number"),
        ("ssh://[/x]", r"cannot be read \(.*Write the host as a name"),
        ("ssh://proj[v2]", r"cannot be read \(.*Write the host as a name"),
        ("ssh://[::1", r"cannot be read \(.*Write the host as a name"),
        ("ssh://[board]", r"cannot be read \(.*Write the host as a name"),
        ("ssh://\u2100.com", r"cannot be read \(.*Write the host as a name"),
        ("//[", r"is written like 'local\?.*cannot be read"),
    ],
)
def test_malformed_urls(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Target.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "ssh://u:SECRETPW@board?backend=onnxruntime-cpu",
        "ssh://u:a/SECRETPW@board",
        "ssh://:SECRETPW@board:22",
        "ssh://u:x@SECRETPW@board",
        "ssh:u:SECRETPW@board",
        "ssh://u:SECRETPW@[::1",
        "postgresql://u:SECRETPW@host/base",
        "ssh://board?password=SECRETPW",
        "ssh://board?threads=0&Passwd=SECRETPW",
    ],
)
def test_no_message_repeats_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Target.parse(url)
    assert "SECRETPW" not in "".join(traceback.format_exception(caught.value)).split("ConfigError")[-1]
    assert "board" in str(caught.value) or "host" in str(caught.value)


@given(st.sampled_from(["", "local", "ssh://", "ssh://["]), st.text("a1[]:@/?#%.\u2100\u00bd&=-"))
def test_any_text_is_a_target_or_refused_in_words(start: str, rest: str) -> None:
    try:
        target = Target.parse(start + rest)
    except (ConfigError, PluginError) as error:
        said = str(error)
    else:
        said = "none."
        assert Target.parse(target.url) == target
    assert said.endswith((".", "?"))


@pytest.mark.parametrize("address", ["[/x]:1", "proj[v2]:1", "\u2100.com:1", "board:99999"])
def test_addresses_of_clusters_are_refused_in_words(address: str) -> None:
    with pytest.raises(StudyError, match="There must be a Ray cluster"):
        check_reachable(address)
