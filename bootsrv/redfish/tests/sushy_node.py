"""One node's Redfish service: sushy-tools' emulator in front of the node's chassis program.

    sushy_node.py --listen 127.0.0.1:0 --name n1 --state DIR [--user admin --password-file FILE]
                  [--certificate PEM --key PEM] [--mode UEFI] -- PROGRAM [WORD ...]

It serves one ComputerSystem, whose Id is the node's name, until it is killed; it says
`listening ADDRESS:PORT` on standard output when it does. Without an account everybody is let in;
without a certificate it speaks plain HTTP.

The program is the one that ipmi_sim calls (`chassis_control` in its lan.conf), so that a node
has the same behind both: `get power` prints `power:0` or `power:1`, `get boot` prints `boot:DEVICE`
(default, none, pxe, cdrom or bios); `set power 0|1`, `set reset 1`, `set shutdown 1` and
`set boot DEVICE` do what they say. A status other than 0 is an error, its last line on standard
error the reason.

The emulator has no way to load a system driver of somebody else's: the one here takes the place of
the property that makes its own.
"""

import argparse
import logging
import os
import pathlib
import subprocess
import threading
import uuid

import bcrypt
from sushy_tools import error
from sushy_tools.emulator import main as emulator
from sushy_tools.emulator.resources.systems import base
from werkzeug import serving

# Longest time that the program may take; its callers wait about as long.
PROGRAM_SECONDS_MAX = 15

# Values of ResetType that the emulator offers, and the program's words.
RESETS = {
    'On': ('power', '1'),
    'ForceOn': ('power', '1'),
    'ForceOff': ('power', '0'),
    'GracefulShutdown': ('shutdown', '1'),
    'GracefulRestart': ('reset', '1'),
    'ForceRestart': ('reset', '1'),
}

# Boot devices of Redfish, and the program's.
DEVICES = {'Pxe': 'pxe', 'Cd': 'cdrom', 'BiosSetup': 'bios', 'Hdd': 'default'}


class Node(base.AbstractSystemsDriver):
    """The one system: a node that a program switches."""

    def __init__(self, name, mode, program):
        self._name = name
        self._uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        self._mode = mode
        self._program = program
        # One call at a time, as ipmi_sim does it.
        self._turn = threading.Lock()

    def _call(self, *words):
        with self._turn:
            try:
                done = subprocess.run(
                    [*self._program, *words], stdin=subprocess.DEVNULL, capture_output=True,
                    text=True, timeout=PROGRAM_SECONDS_MAX)
            except (OSError, subprocess.TimeoutExpired) as trouble:
                raise error.FishyError(f'chassis program: {trouble}')
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or [f'status {done.returncode}']
            raise error.FishyError(f'chassis program: {reason[0]}')
        return done.stdout

    def _get(self, name):
        for line in self._call('get', name).splitlines():
            key, _, value = line.partition(':')
            if key == name:
                return value.strip()
        raise error.FishyError(f'chassis program: no answer to get {name}')

    def _check(self, identity):
        if identity not in (self._name, self._uuid):
            raise error.NotFound(f'There is no system {identity}')

    @property
    def driver(self):
        return f'<chassis program of {self._name}>'

    @property
    def systems(self):
        return [self._name]

    def uuid(self, identity):
        self._check(identity)
        return self._uuid

    def name(self, identity):
        self._check(identity)
        return self._name

    def get_power_state(self, identity):
        self._check(identity)
        return 'On' if self._get('power') == '1' else 'Off'

    def set_power_state(self, identity, state):
        self._check(identity)
        if state not in RESETS:
            raise error.BadRequest(f'ResetType {state} is not supported')
        self._call('set', *RESETS[state])

    def get_boot_device(self, identity):
        self._check(identity)
        device = self._get('boot')
        return next((name for name, word in DEVICES.items() if word == device), 'Hdd')

    def set_boot_device(self, identity, boot_source):
        self._check(identity)
        if boot_source not in DEVICES:
            raise error.BadRequest(f'Boot device {boot_source} is not supported')
        self._call('set', 'boot', DEVICES[boot_source])

    def get_boot_mode(self, identity):
        return self._mode

    def set_boot_mode(self, identity, boot_mode):
        if boot_mode not in ('UEFI', 'Legacy'):
            raise error.BadRequest(f'Boot mode {boot_mode} is not supported')
        self._mode = boot_mode


def account_file(state, user, password_file):
    """The emulator's own form of the account: one line, the password as bcrypt."""
    password = pathlib.Path(password_file).read_bytes().strip()
    # It is checked for each request: the fewest rounds there are.
    line = user + ':' + bcrypt.hashpw(password, bcrypt.gensalt(rounds=4)).decode()
    path = state / 'account'
    path.touch(mode=0o600)
    path.write_text(line + '\n')
    return str(path)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument('--listen', required=True)
    parser.add_argument('--name', required=True)
    parser.add_argument('--state', required=True, type=pathlib.Path)
    parser.add_argument('--user')
    parser.add_argument('--password-file')
    parser.add_argument('--certificate')
    parser.add_argument('--key')
    parser.add_argument('--mode', choices=['UEFI', 'Legacy'], default='UEFI')
    parser.add_argument('program', nargs='+')
    return parser.parse_args()


def main():
    given = arguments()
    given.state.mkdir(parents=True, exist_ok=True)
    node = Node(given.name, given.mode, given.program)
    emulator.Application.systems = property(lambda _: node)
    configuration = {'SUSHY_EMULATOR_STATE_DIR': str(given.state)}
    if given.user:
        path = account_file(given.state, given.user, given.password_file)
        configuration['SUSHY_EMULATOR_AUTH_FILE'] = path
    emulator.app.configure(extra_config=configuration)
    # Its line for each request belongs to nobody.
    logging.getLogger('werkzeug').setLevel(logging.ERROR)
    address, _, port = given.listen.rpartition(':')
    tls = (given.certificate, given.key) if given.certificate else None
    server = serving.make_server(
        address.strip('[]'), int(port), emulator.app, threaded=True, ssl_context=tls)
    print(f'listening {address}:{server.server_port}', flush=True)
    server.serve_forever()


if __name__ == '__main__':
    os.umask(0o077)
    main()
