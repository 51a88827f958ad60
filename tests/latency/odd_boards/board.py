"""The odd board: a program that speaks the agent's protocol well, and once does not.

Run as `python -I -S board.py KIND OPERATION NTH SEED`: it answers every request as an agent would, except the
NTH one for OPERATION (any one for `any`), where it does what KIND says. It imports nothing of hwnas.
"""

import json
import os
import random
import signal
import sys
import time

SAMPLE_MS = 2.0
ENDLESS_S = 20.0
STATE = {
    "clocks_mhz": {},
    "temperatures_c": {"cpu": 40.0},
    "power_mw": None,
    "alarms": [],
    "throttle_counters": {"a": 1.0},
    "gpus": [{"alarms": [], "thermal_violation_ns": None}],
}
MACHINE = {
    "cpu_model": "odd",
    "cpu_count": 2,
    "machine": "x86_64",
    "pinned_cores": [0],
    "governor": None,
    "boost": None,
    "cpu_quota": "max 100000",
    "board": None,
    "kernel": "6.1",
    "os": "odd",
    "python": "3.8.1",
}
IDENTITY = {"l4t": None, "power_mode": None, "cpu_limits_mhz": None, "device_limits_mhz": None, "gpus": None}
SETTINGS = {
    "threads": 1,
    "backend": "onnxruntime-cpu",
    "backend_options": {},
    "backend_versions": {"onnxruntime": "1.0"},
    "backend_settings": {"deep": {"x": [1, 2, {"y": None}]}},
}
FACTS = {
    "machine": MACHINE,
    "identity": IDENTITY,
    "state": STATE,
    "allowed_cores": [0, 1],
    "load_average": 0.1,
    "memory_available_mb": 4000.0,
    "disk_free_mb": 4000.0,
    "is_virtual": False,
    "backends": {"onnxruntime-cpu": {"versions": {"onnxruntime": "1.0"}}, "trtexec": {"error": "none"}},
    "providers": ["CPUExecutionProvider"],
    "gpu": {"error": "none"},
    "tensorrt": {"version": "10.3.0", "dla_cores": None, "code_for": ["8.7"]},
    "rtx_capabilities": [],
}
ENERGY = {
    "energy_mj": 1.0,
    "rails": ["GPU 0"],
    "idle_mw": {"GPU 0": 1.0},
    "busy_mw": {"GPU 0": 2.0},
    "inferences": 3,
    "seconds": 1.0,
    "source": "made up",
}
USE = {
    "load_cold_s": 0.1,
    "load_warm_s": 0.1,
    "first_inference_ms": 3.0,
    "peak_memory_mb": 100.0,
    "memory_increase_mb": 10.0,
    "gpu_memory_mb": None,
    "model_size_mb": 1.0,
    "engine_size_mb": None,
    "energy": ENERGY,
}
KERNEL = {
    "operator": "Conv",
    "attributes": {"kernel_shape": [3, 3], "strides": [1, 1]},
    "num_inputs": 2,
    "input_shapes": [[1, 8, 16, 16]],
    "output_shapes": [[1, 8, 16, 16]],
    "ms": 0.1,
}
ENGINE = b"engine " * 100
STAGES = ("e2e_ms", "project_ms", "network_ms", "label_ms")
ODD_VALUES = (
    *("NaN", "Infinity", "-Infinity", "-1", "0", "1e300", "1e-320", "1e999", "1" * 400, "1" * 5000, "null"),
    *("true", '"2.0"', "[]", "{}", "[[[[2.0]]]]", '"\\ud800"', '"\\u0000"', '"\\u001b]0;owned\\u0007"'),
    *('"\\u202e"', '"' + "x" * 100_000 + '"', "-9007199254740993", '"[/x]"', "[null]", '{"a": NaN}'),
)


def answer(operation, request):  # noqa: C901 - one line an operation
    """Return what an agent in order would."""
    if operation in ("lock", "load", "unload", "start_background", "adopt_build"):
        return {}
    if operation == "set_up":
        return {"fingerprint": dict(MACHINE, **dict(IDENTITY, **SETTINGS))}
    if operation == "state":
        return {"state": STATE}
    if operation in ("warm_up", "start_fixed_rate", "start_end_to_end"):
        found = {"seconds": 0.1, "median_ms": SAMPLE_MS, "window_ms": [SAMPLE_MS] * 3}
        found.update(is_settled=True, gave_up=False)
        if operation == "start_end_to_end":
            found["kernel"] = "numpy"
        return found
    if operation == "clock":
        return {"samples_ms": [SAMPLE_MS] * request["count"]}
    if operation == "end_to_end":
        return {name: [SAMPLE_MS] * request["count"] for name in STAGES}
    if operation == "fixed_rate":
        return {"samples_ms": [SAMPLE_MS] * 5, "lateness_ms": [0.1] * 5, "missed": 0, "dropped": 0}
    if operation == "stop_background":
        return {"achieved_hz": 10.0, "median_ms": SAMPLE_MS}
    if operation == "resources":
        return {"resources": USE}
    if operation == "kernels":
        return {"kernels": [KERNEL] * 3}
    if operation == "inspect":
        return {"facts": FACTS}
    if operation in ("build_engine", "read_engine"):
        return engine(operation)
    return {"error": "not known to this board"}


def engine(operation):
    import base64
    import hashlib

    if operation == "read_engine":
        return {"piece": base64.b64encode(ENGINE).decode()}
    identity = {
        "product": "tensorrt",
        "version": "10.3.0",
        "gpu": "Orin",
        "compute_capabilities": ["8.7"],
        "model_sha256": "0" * 64,
        "settings": {},
        "engine_sha256": hashlib.sha256(ENGINE).hexdigest(),
        "engine_bytes": len(ENGINE),
        "typing": "strong",
    }
    return {"identity": identity, "build": {"fallback": "", "build_s": 1.0, "layers_on_gpu": None}}


def main(kind, operation, nth, seed):
    chance = random.Random(seed)
    seen = 0
    last = b""
    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        request = json.loads(line)
        name = request["operation"]
        right = dict(answer(name, request), request=request["request"])
        content = json.dumps(right).encode()
        if operation in (name, "any"):
            seen += 1
            if seen == nth:
                ODD[kind](right, content, last, chance)
                continue
        last = content
        say(content)


def say(content):
    write(content + b"\n")


def write(content, descriptor=1):
    while content:
        content = content[os.write(descriptor, content) :]


def endless_line(right, content, last, chance):
    piece = chance.choice([b"x", b'{"samples_ms": [', b"[" * 7, b"1.0, ", b'"\\u0000', b"\0"]) * 10_000
    end = time.monotonic() + ENDLESS_S
    while time.monotonic() < end:
        write(piece)


def huge_list(right, content, last, chance):
    size = chance.choice([10_000, 1_000_000, 5_000_000])
    entry = chance.choice([b"1.0,", b"[],", b"{},", b'"",', b"[[[]]],"])
    write(b'{"request": %d, "samples_ms": [' % right["request"] + entry * size + b"1.0]}\n")


def odd_value(right, content, last, chance):
    """Put an odd value in place of one value, wherever it stands."""
    odd = chance.choice(ODD_VALUES)
    marked = json.loads(content)
    places = list(leaves(marked))
    if not places:
        say(odd.encode())
        return
    holder, key = chance.choice(places)
    holder[key] = "@odd@"
    say(json.dumps(marked).replace('"@odd@"', odd).encode())


def odd_samples(right, content, last, chance):
    """Change how many samples there are, or all of them."""
    marked = json.loads(content)
    lists = [(holder, key) for holder, key in leaves(marked, lists=True) if isinstance(holder[key], list)]
    if lists:
        holder, key = chance.choice(lists)
        holder[key] = chance.choice([[], holder[key] * 1000, holder[key][:1], [None], holder[key] + [-1.0]])
    say(json.dumps(marked).encode())


def missing_key(right, content, last, chance):
    marked = json.loads(content)
    holders = [holder for holder, _ in leaves(marked, lists=True) if isinstance(holder, dict)]
    holder = chance.choice(holders)
    del holder[chance.choice(sorted(holder))]
    say(json.dumps(marked).encode())


def more_keys(right, content, last, chance):
    more = {
        f"k{number}": chance.choice([1, "x", None, []]) for number in range(chance.choice([1, 10, 100_000]))
    }
    say(json.dumps(dict(more, **right)).encode())


def not_an_object(right, content, last, chance):
    say(
        chance.choice(
            [b"[]", b"1", b'"text"', b"null", b"", b"{", b"}", b"[[1]]", b"true", b"hello \xff", b"\x1b[2J"]
        )
    )


def deep(right, content, last, chance):
    depth = chance.choice([20, 1000, 100_000])
    start, end = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    middle = b"1"
    nested = start * depth + middle + end * (depth if chance.random() < 0.5 else 0)
    say(chance.choice([nested, content[:-1] + b', "more": ' + nested + b"}"]))


def invalid_utf8(right, content, last, chance):
    place = chance.randrange(len(content))
    say(content[:place] + bytes(chance.choices(range(128, 256), k=chance.choice([1, 8]))) + content[place:])


def flipped(right, content, last, chance):
    """Damage single bytes of a right reply; some still are right."""
    damaged = bytearray(content)
    for _ in range(chance.choice([1, 2, 10])):
        damaged[chance.randrange(len(damaged))] = chance.choice(b'0123456789.,:[]{}"-e \\tfn\n\0\xff')
    say(bytes(damaged))


def early_end(right, content, last, chance):
    write(content[: chance.randrange(len(content) + 1)])
    how = chance.randrange(4)
    if how == 0:
        os.kill(os.getpid(), chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, 40]))
    os._exit(chance.choice([0, 1, 255, 127]))


def slow_drip(right, content, last, chance):
    for byte in content:
        write(bytes([byte]))
        time.sleep(0.05)
    say(b"")


def endless_messages(right, content, last, chance):
    piece = chance.choice([b"noise\n", b"\x1b[31m", b"x", b"\xff\xfe"]) * 10_000
    end = time.monotonic() + ENDLESS_S
    while time.monotonic() < end:
        write(piece, 2)


def loud(right, content, last, chance):
    """Much on standard error, then a right answer."""
    write(b"much to say \x1b[1m\n" * 20_000, 2)
    say(content)


def beats(pause_s, end_s):
    def endless(right, content, last, chance):
        text = chance.choice(["", "building", "\x1b[2J", "x" * 3000, "x" * 100_000])
        beat = {"heartbeat": text, "is_waiting": chance.random() < 0.5, "request": right["request"]}
        end = time.monotonic() + end_s
        while time.monotonic() < end:
            say(json.dumps(beat).encode())
            time.sleep(pause_s)
        say(content)

    return endless


def odd_beat(right, content, last, chance):
    beat = {"heartbeat": "x", "is_waiting": False, "request": right["request"]}
    key = chance.choice(sorted(beat))
    beat[key] = chance.choice([None, [], {}, -1, "x" * 5000, 1.5])
    say(json.dumps(beat).encode())
    say(content)


def wrong_number(right, content, last, chance):
    number = right["request"]
    odd = chance.choice([number - 1, number + 1, 0, None, str(number), float(number), True, [number], 10**30])
    say(json.dumps(dict(right, request=odd)).encode())


def earlier(right, content, last, chance):
    """Answer with what the request before was answered with."""
    say(last or b"{}")
    say(content)


def twice(right, content, last, chance):
    for _ in range(chance.choice([2, 3, 1000])):
        say(content)


def odd_error(right, content, last, chance):
    text = chance.choice(
        [None, 1, [], {"a": 1}, "", "x" * 500_000, "x" * 60_000, "\x1b]0;owned\x07\u202e", "[/x]"]
    )
    say(json.dumps({"error": text, "request": right["request"]}).encode())


def silent(right, content, last, chance):
    time.sleep(ENDLESS_S)


def shut(right, content, last, chance):
    """Close the output and live on."""
    os.close(1)
    time.sleep(ENDLESS_S)


def deaf(right, content, last, chance):
    """Answer, and never read again."""
    say(content)
    time.sleep(ENDLESS_S)


def leaves(value, lists=False):
    """Yield holder and key of every value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, found in inside:
        if isinstance(found, (dict, list)):
            if lists:
                yield value, key
            yield from leaves(found, lists)
        else:
            yield value, key


ODD = {
    "none": lambda right, content, last, chance: say(content),
    "endless line": endless_line,
    "huge list": huge_list,
    "odd value": odd_value,
    "odd number of samples": odd_samples,
    "missing key": missing_key,
    "more keys": more_keys,
    "not an object": not_an_object,
    "deep nesting": deep,
    "invalid UTF-8": invalid_utf8,
    "damaged bytes": flipped,
    "early end": early_end,
    "slow drip": slow_drip,
    "endless messages": endless_messages,
    "many messages": loud,
    "endless heartbeats": beats(0.0, ENDLESS_S),
    "slow heartbeats": beats(0.02, ENDLESS_S),
    "few heartbeats": beats(0.01, 0.1),
    "odd heartbeat": odd_beat,
    "wrong number": wrong_number,
    "answer to another": earlier,
    "duplicates": twice,
    "odd error": odd_error,
    "silent": silent,
    "closed output": shut,
    "deaf": deaf,
}


def store(kind, seed):
    """Be the far end of an upload: take the program, then say something odd instead of where the file is."""
    chance = random.Random(seed)
    sys.stdin.buffer.read(100)
    right = {"path": "/tmp/model.onnx", "request": 1}
    ODD[kind](right, b'{"path": "/tmp/model.onnx"}', b'{"send": true}', chance)
    if kind != "none":
        time.sleep(0.05)


if __name__ == "__main__" and sys.argv[2] == "upload":
    store(sys.argv[1], int(sys.argv[4]))
elif __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
