"""A foreign server of digest authentication: CherryPy's, with a canned WS-Management answer behind it.

Prints its port, then one line for each answer: the status, and `stale` where it called the nonce so.
Arguments: user, password, seconds a nonce is good.
"""

import sys

import cherrypy
from cherrypy.lib import auth_digest

USER, PASSWORD, NONCE_SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<a:Envelope xmlns:a="http://www.w3.org/2003/05/soap-envelope" xmlns:g="{0}/{1}">
  <a:Header/><a:Body><g:{1}><g:AvailableRequestedPowerStates>2</g:AvailableRequestedPowerStates>
  <g:PowerState>8</g:PowerState></g:{1}></a:Body></a:Envelope>
""".format(
    "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2", "CIM_AssociatedPowerManagementService"
)

is_stale = auth_digest.HttpDigestAuthorization.is_nonce_stale
# CherryPy's own limit of ten minutes cannot be set.
auth_digest.HttpDigestAuthorization.is_nonce_stale = (
    lambda self, max_age_seconds=0: is_stale(self, max_age_seconds=NONCE_SECONDS)
)


class Controller:
    @cherrypy.expose
    def wsman(self):
        cherrypy.request.body.read()
        return ANSWER


def tell():
    response = cherrypy.serving.response
    challenge = response.headers.get("WWW-Authenticate", "")
    print(response.output_status[:3].decode(), "stale" if 'stale="true"' in challenge else "", flush=True)


cherrypy.tools.tell = cherrypy.Tool("on_end_request", tell)
cherrypy.config.update(
    {
        "server.socket_host": "127.0.0.1",
        "server.socket_port": 0,
        "environment": "embedded",
    }
)
settings = {
    "/": {
        "tools.tell.on": True,
        "tools.auth_digest.on": True,
        "tools.auth_digest.realm": "Digest:0123",
        "tools.auth_digest.get_ha1": auth_digest.get_ha1_dict_plain({USER: PASSWORD}),
        "tools.auth_digest.key": "a5d7",
    }
}
cherrypy.tree.mount(Controller(), "/", settings)
cherrypy.server.subscribe()
cherrypy.engine.start()
print(cherrypy.server.bound_addr[1], flush=True)
cherrypy.engine.block()
