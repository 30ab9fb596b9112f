"""Replaces a connected socket, with TCP_REPAIR (include/uapi/linux/tcp.h, which Python does not name)."""
import socket, struct

REPAIR, REPAIR_QUEUE, QUEUE_SEQ, REPAIR_WINDOW = 19, 20, 21, 29
RECEIVED, SENT = 1, 2
WINDOW = 65535


def option(s, name, value):
    s.setsockopt(socket.IPPROTO_TCP, name, value)


def sequence(s, queue):
    option(s, REPAIR_QUEUE, queue)
    return struct.unpack('I', s.getsockopt(socket.IPPROTO_TCP, QUEUE_SEQ, 4))[0]


def set_sequence(s, queue, value):
    option(s, REPAIR_QUEUE, queue)
    option(s, QUEUE_SEQ, struct.pack('I', value % (1 << 32)))


def rewound(old, back):
    """Closes `old` unnoticed by its other end, and returns a socket that sends from `back` bytes earlier in the sequence."""
    here, there = old.getsockname(), old.getpeername()
    option(old, REPAIR, 1)
    received, sent = sequence(old, RECEIVED), sequence(old, SENT)
    old.close()
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    option(s, REPAIR, 1)
    set_sequence(s, RECEIVED, received)
    set_sequence(s, SENT, sent - back)
    s.bind(here)
    s.connect(there)
    option(s, REPAIR_WINDOW, struct.pack('5I', received, WINDOW, WINDOW, WINDOW, received))
    option(s, REPAIR, -1)  # without a window probe
    return s
