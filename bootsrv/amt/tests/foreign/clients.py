"""Two foreign AMT clients: `clients.py CLIENT HOST PORT AUTHORITY VERB`, password in AMT_PASSWORD.

`powerctl` is PyPI's powerctl (urllib's digest); `napalm` is the WS-Management client of PyPI's
napalm-amt (requests' digest), without the device model around it. AUTHORITY: file of the authority
that vouches for the controller, `-`: no TLS.
"""

import asyncio
import importlib.util
import os
import sys
import sysconfig

client, host, port, authority, verb = sys.argv[1:]
tls = authority != "-"
password = os.environ["AMT_PASSWORD"]

if client == "powerctl":
    from powerctl.core.host import Credentials, Host
    from powerctl.drivers.amt import AMTDriver

    # It has no option for an authority.
    options = {"tls": tls, "verify_ssl": False}
    driver = AMTDriver(Host(host, "amt", Credentials("admin", password), int(port), 10, options))
    answer = asyncio.run(getattr(driver, verb)())
    print(answer.status.name.lower() if verb == "status" else answer.success)
else:
    # Its package wants the whole of NAPALM; this module needs none of it.
    path = sysconfig.get_path("purelib") + "/napalm_amt/wsman.py"
    spec = importlib.util.spec_from_file_location("wsman", path)
    wsman = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wsman)
    amt = wsman.WsmanTransport(
        host, "admin", password, int(port), tls, authority if tls else True, 10, 0
    )
    service = "CIM_AssociatedPowerManagementService"
    if verb == "get":
        got = amt.get(service)
        print(got["PowerState"], got["AvailableRequestedPowerStates"])
    elif verb == "list":
        listed = amt.enumerate("CIM_ServiceAvailableToElement")
        print(len(listed), listed[0]["PowerState"])
        print([source["InstanceID"] for source in amt.enumerate("CIM_BootSourceSetting")])
    elif verb == "fault":
        try:
            amt.get("AMT_NoSuchClass")
        except wsman.WsmanFault as fault:
            print(fault.code, fault.subcode)
    else:
        system = (
            "<h:ManagedElement>"
            f"<a:Address>{wsman.ANONYMOUS}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{wsman.resource_uri('CIM_ComputerSystem')}</w:ResourceURI>"
            '<w:SelectorSet><w:Selector Name="CreationClassName">CIM_ComputerSystem</w:Selector>'
            '<w:Selector Name="Name">ManagedSystem</w:Selector></w:SelectorSet>'
            "</a:ReferenceParameters></h:ManagedElement>"
        )
        done = amt.invoke(
            "CIM_PowerManagementService",
            "RequestPowerStateChange",
            [("PowerState", verb)],
            raw=system,
        )
        print(done["ReturnValue"])
