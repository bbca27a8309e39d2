"""The machine at the other end of a link: prints every magic packet that comes.

Usage: receive.py INTERFACE ADDRESS/PREFIX, in a network namespace of its own; ends with its
standard input. It knows magic packets from their description, not from the crate under test."""

import select
import socket
import subprocess
import sys
import time

interface, address = sys.argv[1:]
WAIT_SECONDS_MAX = 10
PORTS = (7, 9)


def magic(data):
    """The address and the password in a packet, where a network card would find them."""
    at = data.find(b"\xff" * 6)
    while at >= 0:
        mac = data[at + 6 : at + 12]
        end = at + 102
        if len(mac) == 6 and data[at + 6 : end] == mac * 16:
            return mac.hex(":") + " " + (data[end:].hex() or "-")
        at = data.find(b"\xff" * 6, at + 1)
    return "no magic"


def interesting(frame):
    kind = frame[12:14]
    return kind == b"\x08\x42" or (kind == b"\x08\x00" and frame[23] == 17)


begun = time.monotonic()
while interface not in (name for _, name in socket.if_nameindex()):
    if time.monotonic() - begun > WAIT_SECONDS_MAX:
        sys.exit(f"{interface} never came")
    time.sleep(0.01)
for words in (f"addr add {address} dev {interface}", f"link set {interface} up"):
    subprocess.run(["ip", *words.split()], check=True)

raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind((interface, 0))
ears = {raw: None}
for port in PORTS:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("0.0.0.0", port))
    ears[ear] = port
print("ready", flush=True)
while True:
    ready, _, _ = select.select([sys.stdin, *ears], [], [])
    if sys.stdin in ready:
        break
    for ear in ready:
        data = ear.recv(4096)
        if ears[ear] is not None:
            print("udp", ears[ear], magic(data), flush=True)
        elif interesting(data):
            kind, to, source = data[12:14].hex(), data[:6].hex(":"), data[6:12].hex(":")
            print("frame", kind, to, source, data.hex(), magic(data[14:]), flush=True)
