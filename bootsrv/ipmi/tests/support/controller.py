#!/usr/bin/env python3
"""A baseboard controller on pyghmi's server, with cipher suites 3 and 17.

pyghmi's own server knows suite 3 only and keeps no boot flags. Power and boot device go to a chassis
program, called as ipmi_sim calls its own: `get power`, `set power|reset|shutdown|boot VALUE`.

    PASSWORD=... controller.py --listen 127.0.0.1:6230 --user admin --watts FILE CHASSIS-PROGRAM [WORD...]

Prints `listening on ADDRESS:PORT` when it is ready.
"""

import argparse
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from pyghmi.ipmi import bmc
from pyghmi.ipmi.private import constants, serversession, session as client

# Suite: numbers of its algorithms in Open Session, hash, length of integrity codes
# (IPMI 2.0, tables 13-17 to 13-19 and 22-20).
SUITES = {
    3: ((1, 1, 1), hashlib.sha1, 12),
    17: ((3, 4, 1), hashlib.sha256, 16),
}
OPERATOR = 3
NO_SUITE_MATCH, BAD_NAME, BAD_PROOF, BAD_ROLE = 0x11, 0x0D, 0x0F, 0x0A
INVALID_COMMAND, NOT_NOW, NO_PRIVILEGE, BAD_PARAMETER, FAILED = 0xC1, 0xD5, 0xD4, 0x80, 0xFF
BOOT_FLAGS = 5
BOOT_DEVICES = {0: "none", 1: "pxe", 2: "default", 5: "cdrom", 6: "bios"}
DCMI = 0xDC
CHASSIS_SECONDS_MAX = 30
# How often the serial port is looked at, and how much it gives at once.
SERIAL_SECONDS, SERIAL_BYTES = 0.02, 128


class Session(serversession.ServerSession):
    """The handshake again, with the hash that the client asks for."""

    clientpriv = 2

    def create_open_session_response(self, request):
        request = bytearray(request)
        tag, self.clientsessionid = request[0], request[4:8]
        named = (request[12], request[20], request[28])
        chosen = [suite for suite in self.bmc.suites if SUITES[suite][0] == named]
        if not chosen:
            return bytearray([tag, NO_SUITE_MATCH, 0, 0]) + self.clientsessionid
        _, self.currhashlib, self.currhashlen = SUITES[chosen[0]]
        self.managedsessionid = bytearray(os.urandom(4))
        answer = bytearray([tag, 0, 4, 0]) + self.clientsessionid + self.managedsessionid
        for kind, number in enumerate(named):
            answer += bytearray([kind, 0, 0, 8, number, 0, 0, 0])
        return answer

    def _proof(self, key, *parts):
        return hmac.new(bytes(key), b"".join(bytes(part) for part in parts), self.currhashlib).digest()

    def _answer(self, kind, tag, status, *parts):
        payload = bytearray([tag, status, 0, 0]) + self.clientsessionid
        for part in parts:
            payload += bytearray(part)
        self.send_payload(payload, constants.payload_types[kind], retry=False)

    def _got_rakp1(self, data):
        data = bytearray(data)
        tag, self.Rm, role, length = data[0], data[8:24], data[24], data[27]
        name = bytes(data[28:28 + length])
        password = self.bmc.authdata.get(name.decode("utf-8", "replace"))
        if password is None:
            return self._answer("rakp2", tag, BAD_NAME)
        self.kuid = password.encode("utf-8")
        self.maxpriv = role & 0x0F
        if self.maxpriv > 4:
            return self._answer("rakp2", tag, BAD_ROLE)
        self.identity = bytes([role, length]) + name
        self.Rc, guid = os.urandom(16), self.uuid.bytes
        proof = self._proof(self.kuid, self.clientsessionid, self.managedsessionid, self.Rm, self.Rc,
                            guid, self.identity)
        self._answer("rakp2", tag, 0, self.Rc, guid, proof)

    def _got_rakp3(self, data):
        data = bytearray(data)
        tag, status, proof = data[0], data[1], bytes(data[8:])
        if status != 0:
            return
        if not hmac.compare_digest(
                proof, self._proof(self.kuid, self.Rc, self.clientsessionid, self.identity)):
            return self._answer("rakp4", tag, BAD_PROOF)
        self.sik = self._proof(self.kg or self.kuid, self.Rm, self.Rc, self.identity)
        self.k1, self.k2 = (self._proof(self.sik, [number] * 20) for number in (1, 2))
        self.aeskey = self.k2[:16]
        self.localsid = struct.unpack("<I", self.managedsessionid)[0]
        self.ipmicallback = self.handle_client_request
        proof = self._proof(self.sik, self.Rm, self.managedsessionid, self.uuid.bytes)
        self._answer("rakp4", tag, 0, proof[:self.currhashlen])
        self.confalgo = "aes"
        self.integrityalgo = "sha256" if self.currhashlib is hashlib.sha256 else "sha1"
        self.sequencenumber = 1
        self.sessionid = struct.unpack("<I", self.clientsessionid)[0]


serversession.ServerSession = Session


class Controller(bmc.Bmc):
    """The commands."""

    def __init__(self, options, password):
        host, port = options.listen.rsplit(":", 1)
        super().__init__({options.user: password}, port=int(port), address=host)
        self.suites, self.watts, self.chassis = options.suites, options.watts, options.chassis
        self.flags = bytearray(5)
        self.port = self.serversocket.getsockname()[1]
        self.serial = None
        if options.serial:
            self.serial = socket.create_connection(tuple(options.serial.rsplit(":", 1)))
            self.serial.setblocking(False)
            self.iohandler = lambda _data: None

    def _chassis(self, *words):
        return subprocess.run([*self.chassis, *words], stdin=subprocess.DEVNULL, check=True,
                              stdout=subprocess.PIPE, timeout=CHASSIS_SECONDS_MAX, text=True).stdout

    def is_active(self):
        return self.serial is not None

    def serve(self):
        while True:
            client.Session.wait_for_rsp(SERIAL_SECONDS if self.serial else 30)
            if self.sol is None:
                continue
            try:
                self.sol.send_data(self.serial.recv(SERIAL_BYTES))
            except BlockingIOError:
                pass

    def get_power_state(self):
        return "on" if "power:1" in self._chassis("get", "power") else "off"

    def power_on(self):
        self._chassis("set", "power", "1")
        if not self.flags[0] & 0x40:
            self.flags[0] &= 0x7F

    def power_off(self):
        self._chassis("set", "power", "0")

    def power_cycle(self):
        if self.get_power_state() == "off":
            return NOT_NOW
        self.power_off()
        self.power_on()

    def power_reset(self):
        if self.get_power_state() == "off":
            return NOT_NOW
        self._chassis("set", "reset", "1")

    def power_shutdown(self):
        self._chassis("set", "shutdown", "1")

    def get_system_boot_options(self, request, session):
        if request["data"][0] != BOOT_FLAGS:
            return session.send_ipmi_response(code=BAD_PARAMETER)
        session.send_ipmi_response(data=[1, BOOT_FLAGS, *self.flags])

    def set_system_boot_options(self, request, session):
        parameter, value = request["data"][0] & 0x7F, request["data"][1:]
        if parameter == BOOT_FLAGS:
            self.flags = bytearray(value)
            self._chassis("set", "boot", BOOT_DEVICES.get(value[1] >> 2 & 0x0F, "none"))
        elif parameter not in (0, 3, 4):
            return session.send_ipmi_response(code=BAD_PARAMETER)
        session.send_ipmi_response()

    def _dcmi(self, request, session):
        if request["command"] == 1:
            return session.send_ipmi_response(data=[DCMI, 1, 5, 2, 0, 1, 0])
        with open(self.watts, encoding="ascii") as file:
            watts = int(file.read())
        reading = struct.pack("<B4HIIB", DCMI, watts, watts, watts, watts, int(time.time()), 1000, 0x40)
        session.send_ipmi_response(data=list(reading))

    def handle_raw_request(self, request, session):
        asked = (request["netfn"], request["command"])
        try:
            if asked in ((0, 2), (0, 8)) and session.clientpriv < OPERATOR:
                return session.send_ipmi_response(code=NO_PRIVILEGE)
            if request["netfn"] == 0x2C and request["command"] in (1, 2) and self.watts:
                return self._dcmi(request, session)
            return super().handle_raw_request(request, session)
        except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
            print(f"controller: {asked}: {error}", file=sys.stderr)
            session.send_ipmi_response(code=FAILED)


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="A baseboard controller with cipher suites 3 and 17.")
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT; port 0: any")
    parser.add_argument("--user", required=True)
    parser.add_argument("--suites", type=lambda text: [int(word) for word in text.split(",")],
                        default=[17, 3])
    parser.add_argument("--serial", help="ADDRESS:PORT where the system's serial port listens")
    parser.add_argument("--watts", help="file with the power meter's reading")
    parser.add_argument("--end-with-stdin", action="store_true",
                        help="end when whoever holds the other end of standard input does")
    parser.add_argument("chassis", nargs="+", help="chassis program and its first words")
    options = parser.parse_args()
    controller = Controller(options, os.environ.pop("PASSWORD"))
    if options.end_with_stdin:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    print("listening on {}:{}".format(*controller.serversocket.getsockname()[:2]), flush=True)
    controller.serve()


if __name__ == "__main__":
    main()
