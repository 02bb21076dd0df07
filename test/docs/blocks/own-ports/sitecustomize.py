"""Python comes to the ports that a page's programs have: see node.mjs."""

import os
import socket

_FIRST_HIGH = 32768
_CLOSED = 1
_PROVIDER_ADDRESS = "192.0.2.1"
_provider_port, *_provider_names = os.environ.get("PROVIDER_HOSTS", "").split(" ")
_connect = socket.socket.connect
_getaddrinfo = socket.getaddrinfo


def _own_getaddrinfo(host, *args, **kwargs):
    return _getaddrinfo(_PROVIDER_ADDRESS if host in _provider_names else host, *args, **kwargs)


def _own_address(address):
    host, port = address[0], address[1]
    if host == _PROVIDER_ADDRESS and port == 443:
        return ("127.0.0.1", int(_provider_port))
    if port >= _FIRST_HIGH and host in ("127.0.0.1", "localhost"):
        return address
    if "." in host and not host.startswith("127.") and not host.endswith(".internal"):
        return ("127.0.0.1", _CLOSED)
    try:
        with open(os.path.join(os.environ["OWN_PORTS"], str(port))) as file:
            return ("127.0.0.1", int(file.read().split()[0]))
    except FileNotFoundError:
        return ("127.0.0.1", _CLOSED)


def _connect_to_own(self, address):
    if self.family == socket.AF_INET6:
        raise ConnectionRefusedError("this page has no IPv6")
    return _connect(self, _own_address(address) if self.family == socket.AF_INET else address)


socket.getaddrinfo = _own_getaddrinfo
socket.socket.connect = _connect_to_own
