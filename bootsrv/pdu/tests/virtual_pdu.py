#!/usr/bin/env python3
"""A power distribution unit: net-snmp's agent in front of a command that switches outlets.

virtual_pdu.py serve --listen ADDRESS:PORT --directory DIR --model NAME [--outlets N] -- COMMAND...
    becomes snmpd, in the foreground. `COMMAND... OUTLET on`, `COMMAND... OUTLET off` switch, and
    `COMMAND... OUTLET status` prints `on` or `off`; each must end within a second.
    SNMP v2c: community `private` may write, `public` may read. v3, authPriv: user `power`, SHA-256
    `authpass123`, AES `privpass123`.
virtual_pdu.py answer DIR
    is what snmpd starts to answer for the outlets (pass_persist).

In DIR: `log` has a line for every command taken; `meter`, if it is there, holds watts and watt-hours
of each outlet; `knobs`, if it is there, holds words:
    ignore     a command is taken and not carried out
    lie        likewise, and the status says what was wanted
    busy=N     the next N commands are refused for now (the number counts down)
    deny       commands are refused for ever
    slow=S     every answer takes S seconds
    pending    the status is neither on nor off
    odd        the status is a text
The object identifiers are written down here once more on purpose, apart from the crate's own."""

import argparse
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import time

APC = "1.3.6.1.4.1.318.1.1"
RARITAN = "1.3.6.1.4.1.13742.6"
EATON = "1.3.6.1.4.1.534.6.6.7.6"
SENTRY = "1.3.6.1.4.1.1718.3.2.3.1"
CYBER = "1.3.6.1.4.1.3808.1.1.3.3"
ON_1_OFF_2 = {"on": 1, "off": 2}

# Below root: where the state stands and what it says; what is written where; meters.
MODELS = {
    "apc-spdu": {
        "root": f"{APC}.4",
        "status": (f"{APC}.4.4.2.1.3.%d", ON_1_OFF_2),
        "control": {f"{APC}.4.4.2.1.3.%d": {1: "on", 2: "off"}},
    },
    "apc-rpdu": {
        "root": f"{APC}.12",
        "status": (f"{APC}.12.3.5.1.1.4.%d", ON_1_OFF_2),
        "control": {f"{APC}.12.3.3.1.1.4.%d": {1: "on", 2: "off"}},
    },
    "apc-rpdu2": {
        "root": f"{APC}.26",
        "status": (f"{APC}.26.9.2.3.1.5.%d", {"off": 1, "on": 2}),
        "control": {f"{APC}.26.9.2.4.1.5.%d": {1: "on", 2: "off"}},
        "meters": {
            f"{APC}.26.9.4.3.1.7.%d": lambda watts, wh: watts,
            f"{APC}.26.9.4.3.1.11.%d": lambda watts, wh: wh // 100,
        },
    },
    "raritan-pdu2": {
        "root": RARITAN,
        "status": (f"{RARITAN}.4.1.2.1.3.1.%d", {"on": 7, "off": 8}),
        "control": {f"{RARITAN}.4.1.2.1.2.1.%d": {1: "on", 0: "off"}},
        "meters": {
            f"{RARITAN}.3.5.4.1.7.1.%d.5": lambda watts, wh: 1,
            f"{RARITAN}.3.5.4.1.7.1.%d.8": lambda watts, wh: 0,
            f"{RARITAN}.5.4.3.1.2.1.%d.5": lambda watts, wh: 1 if watts >= 0 else 2,
            f"{RARITAN}.5.4.3.1.2.1.%d.8": lambda watts, wh: 1 if wh >= 0 else 2,
            f"{RARITAN}.5.4.3.1.4.1.%d.5": lambda watts, wh: max(watts, 0) * 10,
            f"{RARITAN}.5.4.3.1.4.1.%d.8": lambda watts, wh: max(wh, 0),
        },
    },
    "eaton-epdu": {
        "root": EATON,
        "status": (f"{EATON}.6.1.2.0.%d", {"off": 0, "on": 1}),
        "control": {f"{EATON}.6.1.3.0.%d": {0: "off"}, f"{EATON}.6.1.4.0.%d": {0: "on"}},
        "meters": {
            f"{EATON}.5.1.3.0.%d": lambda watts, wh: watts,
            f"{EATON}.5.1.4.0.%d": lambda watts, wh: wh,
        },
    },
    "servertech-sentry3": {
        "root": SENTRY,
        "status": (f"{SENTRY}.5.1.1.%d", {"off": 0, "on": 1}),
        "control": {f"{SENTRY}.11.1.1.%d": {1: "on", 2: "off"}},
        "meters": {
            f"{SENTRY}.14.1.1.%d": lambda watts, wh: watts,
            f"{SENTRY}.18.1.1.%d": lambda watts, wh: wh,
        },
    },
    "cyberpower-epdu": {
        "root": CYBER,
        "status": (f"{CYBER}.5.1.1.4.%d", ON_1_OFF_2),
        "control": {f"{CYBER}.3.1.1.4.%d": {1: "on", 2: "off"}},
        "meters": {
            f"{CYBER}.5.1.1.8.%d": lambda watts, wh: watts,
            f"{CYBER}.5.1.1.13.%d": lambda watts, wh: wh // 100,
        },
    },
}

SNMPD_CONF = """\
agentAddress udp:{listen}
rwcommunity private
rocommunity public
createUser power SHA-256 authpass123 AES privpass123
rwuser power priv
pass_persist .{root} {python} {script} answer {directory}
"""


def serve(options):
    directory = options.directory.resolve()
    (directory / "persistent").mkdir(parents=True, exist_ok=True)
    unit = {"model": options.model, "outlets": options.outlets, "command": options.command}
    (directory / "unit.json").write_text(json.dumps(unit))
    words = {
        "listen": options.listen,
        "root": MODELS[options.model]["root"],
        "python": sys.executable,
        "script": pathlib.Path(__file__).resolve(),
        "directory": directory,
    }
    (directory / "snmpd.conf").write_text(SNMPD_CONF.format(**words))
    os.environ.update(SNMP_PERSISTENT_DIR=str(directory / "persistent"), MIBS="")
    path = "/usr/sbin:" + os.environ.get("PATH", "")
    snmpd = next(p for p in (pathlib.Path(d, "snmpd") for d in path.split(":")) if p.is_file())
    log, conf = directory / "snmpd.log", directory / "snmpd.conf"
    os.execv(snmpd, [str(snmpd), "-f", "-r", "-C", "-c", str(conf), "-Lf", str(log)])


class Unit:
    def __init__(self, directory):
        self.directory = directory
        unit = json.loads((directory / "unit.json").read_text())
        self.command = unit["command"]
        model = MODELS[unit["model"]]
        outlets = range(1, unit["outlets"] + 1)
        status, self.states = model["status"]
        self.status = {status % outlet: outlet for outlet in outlets}
        self.control = {
            oid % outlet: (outlet, orders)
            for oid, orders in model["control"].items()
            for outlet in outlets
        }
        self.meters = {
            oid % outlet: meter
            for oid, meter in model.get("meters", {}).items()
            for outlet in outlets
        }
        oids = {*self.status, *self.control, *self.meters}
        self.oids = sorted(oids, key=numbers)
        self.wanted = {}

    def knobs(self):
        try:
            words = (self.directory / "knobs").read_text().split()
        except FileNotFoundError:
            return {}
        return dict(word.partition("=")[::2] for word in words)

    def run(self, outlet, verb):
        words = [*self.command, str(outlet), verb]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().strip()

    def get(self, oid):
        knobs = self.knobs()
        if oid in self.status:
            outlet = self.status[oid]
            if "odd" in knobs:
                return "string", "perhaps"
            if "pending" in knobs:
                return "integer", 42
            lie = self.wanted.get(outlet) if "lie" in knobs else None
            return "integer", self.states[lie or self.run(outlet, "status")]
        if oid in self.meters:
            try:
                watts, wh = (self.directory / "meter").read_text().split()
            except FileNotFoundError:
                return None
            return "integer", self.meters[oid](int(watts), int(wh))
        if oid in self.control:
            return "integer", -1
        return None

    def next(self, oid):
        later = (other for other in self.oids if numbers(other) > numbers(oid))
        return next((other for other in later if self.get(other) is not None), None)

    def set(self, oid, kind, value):
        knobs = self.knobs()
        if oid not in self.control or "deny" in knobs:
            return "not-writable"
        busy = int(knobs.get("busy", 0))
        if busy > 0:
            (self.directory / "knobs").write_text(f"busy={busy - 1}")
            return "inconsistent-value"
        outlet, orders = self.control[oid]
        if kind != "integer":
            return "wrong-type"
        if int(value) not in orders:
            return "wrong-value"
        verb = self.wanted[outlet] = orders[int(value)]
        with (self.directory / "log").open("a") as log:
            log.write(f"{outlet} {verb}\n")
        if not {"ignore", "lie"} & knobs.keys():
            self.run(outlet, verb)
        return "DONE"


def numbers(oid):
    return [int(arc) for arc in oid.split(".")]


def answer(directory):
    # Ends with snmpd, even while it is slow: PR_SET_PDEATHSIG, SIGKILL.
    ctypes.CDLL(None).prctl(1, 9)
    unit = Unit(directory)

    def line():
        text = sys.stdin.readline()
        if not text:
            sys.exit()
        return text.strip()

    while True:
        verb = line()
        if not verb:
            continue  # snmpd sends an empty line behind the value of a set
        if verb == "PING":
            print("PONG", flush=True)
            continue
        if verb in ("get", "getnext"):
            oid = line().lstrip(".")
            oid = unit.next(oid) if verb == "getnext" else oid
            value = oid and unit.get(oid)
            reply = f".{oid}\n{value[0]}\n{value[1]}" if value else "NONE"
        elif verb == "set":
            oid = line().lstrip(".")
            kind, value = line().split(" ", 1)
            reply = unit.set(oid, kind, value)
        else:
            reply = "NONE"
        time.sleep(float(unit.knobs().get("slow", 0)))
        print(reply, flush=True)


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("serve")
    verb.add_argument("--listen", required=True)
    verb.add_argument("--directory", type=pathlib.Path, required=True)
    verb.add_argument("--model", choices=MODELS, required=True)
    verb.add_argument("--outlets", type=int, default=8)
    verb.add_argument("command", nargs="+")
    verb = verbs.add_parser("answer")
    verb.add_argument("directory", type=pathlib.Path)
    options = parser.parse_args()
    if options.verb == "serve":
        serve(options)
    else:
        answer(options.directory)


main()
