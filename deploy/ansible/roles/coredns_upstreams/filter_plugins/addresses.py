"""Says which network an address lies in."""

import ipaddress
import re


def first_network_of(server, networks):
    """The first of the networks that holds the server's address, '' when none does.

    The server is an address, with or without a port; what is none is a ValueError, since CoreDNS
    would take a name for a file.
    """
    port = re.fullmatch(r"\[(.+)\]:\d+|([^:]+):\d+", server)
    address = ipaddress.ip_address((port[1] or port[2]) if port else server)
    for network in networks:
        if address in ipaddress.ip_network(network):
            return network
    return ""


class FilterModule:
    """What Ansible looks for."""

    def filters(self):
        return {"first_network_of": first_network_of}
