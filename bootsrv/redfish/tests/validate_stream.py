"""Runs what DMTF's protocol validator asserts of a stream of events, and prints what came of each.

    validate_stream.py URL USER PASSWORD
"""

import sys

from redfish_protocol_validator import resources, service_details, utils
from redfish_protocol_validator.constants import RequestType
from redfish_protocol_validator.system_under_test import SystemUnderTest

service = SystemUnderTest(*sys.argv[1:4])
service.login()
resources.read_target_resources(service, func=resources.get_default_resources)
# The validator's own walk leaves the stream out in this version.
uri = service.get("/redfish/v1/EventService").json()["ServerSentEventUri"]
service.set_server_sent_event_uri(uri)
stream, destination = utils.get_sse_stream(service)
service.set_event_dest_uri(destination)
service.add_response(uri, stream, request_type=RequestType.STREAMING)
service_details.test_server_sent_events(service)
service.logout()
for entries in service.results.values():
    for entry in entries:
        print(entry["assertion"].name, entry["result"].name, entry["msg"])
