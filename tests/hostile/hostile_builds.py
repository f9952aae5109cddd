"""Whole hostile builds: what their repository holds and what limits they have. What is expected of them: test_*.py."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hostile import hostile_attacks

MB = 1024**2
BOTH = ("bubblewrap", "none")
SITE = "mkdir -p out && echo fine > out/index.html\n"


@dataclass(frozen=True)
class Build:
    """`group` is run as a whole; the group `essential` also in short runs. `sandboxes` that it is run in."""

    script: str
    group: str = "matrix"
    limits: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    output: str = "out"
    install: str = ""
    command: str = "sh build.sh"
    sandboxes: tuple[str, ...] = ("bubblewrap",)


def _python(script: str, **options: object) -> Build:
    return Build(f"set -e\n{SITE}python3 -c '{script}'\n", **options)  # type: ignore[arg-type]


COUNTED = {"HOLD": "45"}  # seconds: where others delete files meanwhile, disk is counted only every 30
SECRET = "tok/en+with odd&chars-123456"

_BOMB = """
import os, time
made = 0
try:
    while made < 150:
        if os.fork() == 0:
            time.sleep(20); os._exit(0)
        made += 1
except OSError as error:
    print("refused:", error.strerror, flush=True); os.kill(0, 9)
print("made", made, flush=True); os._exit(0)
"""
_BOMB_ASIDE = """
import os, time
try:
    while os.fork(): pass
    time.sleep(20)
except OSError: print("carries on", flush=True)
os._exit(0)
"""
_FILES = 'held = [open("/dev/null") for _ in range(200)]; print("held", len(held))'
_HOG = f"""
import time
held = [bytes([1]) * {MB} for _ in range(300)]
print("held", flush=True); time.sleep(1)
"""
# Many small ones, each of them smaller than the agent: the kernel must not take the agent for the culprit.
_SWARM = f"""
import os, select
held_by, tell = os.pipe()
wait_for, go = os.pipe()
for _ in range(60):
    if os.fork() == 0:
        os.close(go)
        try: open("/proc/self/oom_score_adj", "w").write("0")
        except OSError: pass
        held = [bytes([1]) * {MB} for _ in range(10)]
        os.write(tell, b"x"); os.read(wait_for, 1); os._exit(0)
count = 0
while count < 60 and select.select([held_by], [], [], 8)[0]:
    count += len(os.read(held_by, 60))
os.close(go)
failed = 0
for _ in range(60):
    failed += os.wait()[1] != 0
print("failed", failed, flush=True); os._exit(failed != 0)
"""
_FILL = f"""
import os, time
with open("big", "wb") as file:
    for _ in range(100):
        file.write(os.urandom({MB})); file.flush(); time.sleep(0.02)
time.sleep(float(os.environ["HOLD"])); print("kept")
"""
# Folders within folders, deeper than any path can name.
_DEEP = """
import os
for _ in range({depth}):
    os.mkdir("deep-deep-deep-deep"); os.chdir("deep-deep-deep-deep")
"""
_MANY_FILES = """
import os, time
for n in range(30_000):
    os.close(os.open(f"empty{n}", os.O_CREAT))
time.sleep(float(os.environ["HOLD"])); print("kept")
"""
_DEEP_FILL = (
    _DEEP.format(depth=600)
    + f"""
import time
with open("big", "wb") as file:
    for _ in range(100):
        file.write(os.urandom({MB})); file.flush(); time.sleep(0.02)
time.sleep(float(os.environ["HOLD"])); print("kept")
"""
)
_STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
print("still here", flush=True)
time.sleep({})
"""
_DAEMON = """
python3 - <<'END' >/dev/null 2>&1 &
import os, time
os.setsid()
if os.fork(): os._exit(0)
end = time.monotonic() + 12
while time.monotonic() < end:
    try:
        os.rename("out/folder", "out/aside"); os.symlink("/etc", "out/folder")
        os.unlink("out/folder"); os.rename("out/aside", "out/folder")
    except OSError: time.sleep(0.001)
END
"""
_MASKED = """
import base64, os, sys, time, urllib.parse as p
s = os.environ["TOKEN"]
print("plain", s); print("base64", base64.b64encode(("user:" + s).encode()).decode())
print("url", p.quote(s, safe="")); print("error", s, file=sys.stderr)
for part in ("cut ", s[:7], s[7:15], s[15:], "\\n"):
    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.1)
open("out/index.html", "w").write("page " + s)
open("out/" + p.quote(s, safe="") + "\\x01", "w").close()
"""
_NOISE = (
    r"printf '\377\376 broken \0 \033]0;title\007\033[2J\033[31mred\n'; printf 'back\rover\r\n'; "
    r"printf '\342\200\256evil\n'"
)
_NAMES = {
    "plain": "x",
    "A_QUOTES": 'it\'s "quoted" $HOME `id` $(id)',
    "A_LINES": "one\ntwo\n\nfour=4 -- --setenv X y",
    "A_UNICODE": "naïve ☃",
    "LD_PRELOAD": "/workspace/evil.so",
    "NODE_OPTIONS": "--require /workspace/evil.js",
    "GIT_SSH_COMMAND": "touch /tmp/owned",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "alias.status",
    "GIT_CONFIG_VALUE_0": "!echo owned",
    "PYTHONPATH": "/workspace",
    "BASH_ENV": "/workspace/evil.sh",
}
_PRINT_NAMES = """
import json, os
names = [n for n in os.environ if n.startswith("A_") or n in ("plain", "LD_PRELOAD", "NODE_OPTIONS")]
print("NAMES " + json.dumps({n: os.environ[n] for n in sorted(names)}))
print("OWNED " + str(os.path.exists("/tmp/owned")))
"""
_ODD_FILES = """
mkdir -p out/.git out/sub && echo fine > out/index.html
echo secret > out/.git/config; echo secret > out/.env; echo secret > out/.env.local; echo secret > out/.npmrc
ln -s /etc/passwd out/link; ln -s /etc out/linked-folder; ln -s ../build.sh out/up; ln -s loop out/loop
ln build.sh out/hard.txt; ln /usr/bin/env out/env || echo 'no hard link to the system'
mkfifo out/fifo
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("out/socket")'
mknod out/device c 1 5 || echo 'no device'
"""
_HALF_A_RULE = json.dumps({"redirects": [{"source": "/\ud800", "destination": "/"}]})
_PLANTED = """
mkdir out; i=0; while [ $i -lt 200 ]; do echo "the real page $i" >> out/index.html; i=$((i+1)); done
echo PLANTED > out/index.html.br; echo PLANTED > out/index.html.gz; echo PLANTED > out/index.html.zst
"""

BUILDS: dict[str, Build] = {
    # Attacks on what is not theirs
    "essential-attacks": Build("", "essential", files=hostile_attacks.repository(essential=True), sandboxes=BOTH),
    "other-attacks": Build(
        "",
        "attacks",
        files=hostile_attacks.repository(essential=False),
        limits={"build_timeout_s": 200},
        sandboxes=BOTH,
    ),
    # Limits, each with one that stays below
    "bystander": Build(f"{SITE}sleep 2; echo undisturbed", "essential"),
    "fork-bomb": _python(_BOMB, limits={"processes": 60}),
    "fork-bomb-below": _python(_BOMB),
    "fork-bomb-aside": _python(_BOMB_ASIDE, limits={"processes": 60}),
    "open-files": _python(_FILES, limits={"open_files": 100}),
    "open-files-below": _python(_FILES),
    "memory": _python(_HOG, group="essential", limits={"memory_bytes": 200 * MB}),
    "memory-below": _python(_HOG, group="essential"),
    "memory-swarm": _python(_SWARM, limits={"memory_bytes": 300 * MB}),
    "memory-swarm-below": _python(_SWARM, limits={"memory_bytes": 2048 * MB}),
    "disk": _python(_FILL, limits={"disk_bytes": 50 * MB}, env=COUNTED),
    "disk-below": _python(_FILL, env={"HOLD": "2"}),
    "disk-files": _python(_MANY_FILES, limits={"disk_bytes": 50 * MB}, env=COUNTED),
    "disk-files-below": _python(_MANY_FILES, env={"HOLD": "2"}),
    "disk-deep": _python(_DEEP_FILL, limits={"disk_bytes": 50 * MB}, env=COUNTED),
    "deep-shallow": _python(_DEEP.format(depth=40)),
    "deep": _python(_DEEP.format(depth=2500)),
    "deep-no-output": Build(f"python3 -c '{_DEEP.format(depth=2500)}'"),
    "stubborn": _python(_STUBBORN.format(60), limits={"build_timeout_s": 5}),
    "stubborn-below": _python(_STUBBORN.format(1), limits={"build_timeout_s": 60}),
    "log-lines": Build(f"{SITE} seq -f 'line %.0f' 1 20000", limits={"log_bytes": 100_000}),
    "log-lines-below": Build(f"{SITE} seq -f 'line %.0f' 1 20000"),
    "log-empty-lines": Build(f"{SITE} yes '' | head -n 200000", limits={"log_bytes": 100_000}),
    "log-long-line": Build(f"{SITE} head -c 1073741824 /dev/zero | tr '\\0' a", limits={"log_bytes": 2 * MB}),
    "log-long-line-below": Build(f"{SITE} head -c 1000000 /dev/zero | tr '\\0' a", limits={"log_bytes": 2 * MB}),
    "files": Build(f"{SITE} cd out; seq 1 400 | xargs touch", limits={"output_files": 300}),
    "files-below": Build(f"{SITE} cd out; seq 1 400 | xargs touch", limits={"output_files": 500}),
    "size": Build(f"{SITE} head -c 3000000 /dev/urandom > out/a.bin", limits={"output_bytes": 2 * MB}),
    "size-sparse": Build(f"{SITE} truncate -s 1T out/a.bin"),
    "size-below": Build(f"{SITE} head -c 1000000 /dev/urandom > out/a.bin", limits={"output_bytes": 2 * MB}),
    "path": Build(f"{SITE} cd out; python3 -c '{_DEEP.format(depth=60)}'; echo", limits={"path_bytes": 1024}),
    "path-below": Build(f"{SITE} cd out; python3 -c '{_DEEP.format(depth=40)}'", limits={"path_bytes": 1024}),
    # What a stranger leaves in the output
    "odd-files": Build(_ODD_FILES, "essential"),
    "planted": Build(_PLANTED, "essential"),
    "output-is-a-link": Build("ln -s /etc out"),
    "output-below-a-link": Build("mkdir real; ln -s /etc real/out", output="real/out"),
    "output-outside": Build(SITE, output="../../../etc"),
    "output-is-a-file": Build("echo hello > out"),
    "output-inside": Build("mkdir -p real/out; echo fine > real/out/index.html", output="real/out"),
    "unicode-collision": Build(
        SITE + r"""printf a > "$(printf 'out/\303\251')"; printf b > "$(printf 'out/e\314\201')" """
    ),
    "case-collision": Build(f"{SITE} echo a > out/Readme; echo b > out/README"),
    "name-not-utf8": Build(SITE + r"""echo a > "$(printf 'out/\377\376')" """),
    "name-with-escapes": Build(SITE + r"""echo a > "$(printf 'out/\033[2Jx\ny')" """),
    "name-below": Build(SITE + r"""echo a > "$(printf 'out/\303\251 b')" """),
    # Processes
    "swap": Build(f"{SITE} mkdir out/folder; echo real > out/folder/passwd\n{_DAEMON}sleep 1", sandboxes=BOTH),
    "kill-everybody": Build(f"{SITE} echo about to; kill -9 -1; echo survived"),
    "kill-parent": Build(f"{SITE} kill -9 $PPID; kill -9 1; kill -TERM 1; echo went on"),
    # Log and environment
    "log-returns": Build(f"{SITE} head -c 50000000 /dev/zero | tr '\\0' '\\r'; echo after"),
    "closed-workspace": Build(f"{SITE} chmod 000 /workspace"),
    "closed-by-install": Build(SITE, install="chmod 400 /workspace"),
    "removed-home": Build(f"{SITE} rm -rf $HOME/* /tmp/*; ln -s /etc $HOME/.npm; chmod 000 $HOME /tmp"),
    "half-a-character": Build(SITE, files={"vercel.json": json.dumps({"ignoreCommand": "\ud800"})}),
    "endless-argument": Build(SITE, files={"vercel.json": json.dumps({"ignoreCommand": "true " * 40_000})}),
    "rules-half-a-character": Build(SITE + f"echo '{_HALF_A_RULE}' > vercel.json"),
    "rules-nested": Build(f"{SITE} head -c 200000 /dev/zero | tr '\\0' '[' | tee vercel.json > out/_headers"),
    "rules-are-pipes": Build(f"{SITE} mkfifo vercel.json netlify.toml out/_headers out/_redirects"),
    "odd-folder": Build(r"""mkdir "$(printf 'a\377')"; echo x > "$(printf 'a\377')/index.html" """),
    "deep-repository": Build(SITE, files={"d/" * 1500 + "file": "x"}),
    "nested-package-json": Build(SITE, files={"package.json": "[" * 500_000}),
    "masked": _python(_MASKED, group="essential", secrets={"TOKEN": SECRET}),
    "not-masked": _python(_MASKED, env={"TOKEN": SECRET}),
    "secret-in-page": Build('mkdir out; echo "$TOKEN" | tee out/index.html', secrets={"TOKEN": SECRET}),
    "noise": Build(f"{SITE}{_NOISE}"),
    "names": _python(_PRINT_NAMES, env=_NAMES),
}
