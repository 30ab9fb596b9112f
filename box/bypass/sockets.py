"""Sockets on order: reads one JSON object a line, does what it says, answers with one a line.

Node.js offers neither the options nor the flags that the tests are about. Every socket has a number.
"""
import array, ctypes, errno, fcntl, hashlib, json, os, random, resource, select, socket, struct, sys, tempfile, termios, threading, time

import repair

sockets = {}
names = {name: getattr(socket, name) for name in dir(socket) if name.startswith(('MSG_', 'SO_', 'TCP_', 'SOL_', 'IPPROTO_'))}
names.setdefault('TCP_ULP', 31)
names.setdefault('SO_ZEROCOPY', 60)
names.setdefault('MSG_ZEROCOPY', 0x4000000)


def keep(s):
    sockets[s.fileno()] = s
    return s.fileno()


def family(host):
    return socket.AF_INET6 if ':' in host else socket.AF_INET


def flags(o):
    return sum(names[f] for f in o.get('flags', []))


def options(s, o):
    for level, name, value in o.get('options', []):
        s.setsockopt(names[level], names[name], value if isinstance(value, int) else value.encode())


def listen(o):
    host = o.get('host', '127.0.0.1')
    kind = socket.SOCK_STREAM
    s = socket.socket(family(host), kind, o.get('protocol', 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    options(s, o)
    s.bind((host, o.get('port', 0)))
    s.listen(1024)
    return {'id': keep(s), 'port': s.getsockname()[1]}


def connect(o):
    host = o.get('host', '127.0.0.1')
    s = socket.socket(family(host), socket.SOCK_STREAM, o.get('protocol', 0))
    options(s, o)
    if 'bind' in o:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, o['bind']))
    s.settimeout(10)
    s.connect((host, o['port']))
    return {'id': keep(s), 'port': s.getsockname()[1]}


def accept(o):
    sockets[o['id']].settimeout(10)
    return {'id': keep(sockets[o['id']].accept()[0])}


def pair(o):
    """A connection to itself: rcvbuf is the server's, sndbuf the client's. `answered`: not the first of its listener."""
    l = listen({'options': [['SOL_SOCKET', 'SO_RCVBUF', o['rcvbuf']]] if o.get('rcvbuf') else [], 'host': o.get('host', '127.0.0.1')})
    c = connect({'port': l['port'], 'host': o.get('host', '127.0.0.1')})
    s = accept({'id': l['id']})
    if o.get('answered'):
        for a, b in ((c, s), (s, c)):
            send({'id': a['id'], 'text': 'x'})
            receive({'id': b['id'], 'size': 1})
        close(c)
        close(s)
        c = connect({'port': l['port'], 'host': o.get('host', '127.0.0.1')})
        s = accept({'id': l['id']})
    if o.get('sndbuf'):
        sockets[c['id']].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, o['sndbuf'])
    sockets.pop(l['id']).close()
    return {'client': c['id'], 'server': s['id']}


def send(o):
    """`size` times a byte in one call; non-blocking unless `timeout` (seconds)."""
    s = sockets[o['id']]
    s.settimeout(o.get('timeout', 0))
    data = o['text'].encode() if 'text' in o else o.get('byte', 'x').encode() * o['size']
    return {'n': s.send(data, flags(o))}


def stream(o):
    """`count` messages of `size` one way, each read before the next."""
    for _ in range(o['count']):
        send({'id': o['id'], 'size': o['size']})
        expect({'id': o['to'], 'runs': [['x', o['size']]]})
    return {}


def fill(o):
    """Sends without blocking until nothing more is taken."""
    s, n, chunk = sockets[o['id']], 0, b'f' * o['size']
    s.setblocking(False)
    try:
        while n < o.get('most', 1 << 30):
            n += s.send(chunk)
    except BlockingIOError:
        pass
    return {'n': n}


def receive(o):
    s = sockets[o['id']]
    s.settimeout(None if o.get('block') else o.get('timeout', 5) if o.get('wait', True) else 0)
    data = s.recv(o['size'], flags(o))
    return {'n': len(data), **({'text': data.decode()} if len(data) <= 4096 else {})}


def expect(o):
    """Reads exactly these runs of bytes: [["A", 100], ["B", 5]]; says where the first wrong one is."""
    s, at = sockets[o['id']], 0
    s.settimeout(o.get('timeout', 5))
    for byte, size in o['runs']:
        left = size
        while left:
            data = s.recv(min(left, 1 << 20))
            if not data:
                return {'wrong': at, 'why': 'end'}
            if data.count(byte.encode()) != len(data):
                return {'wrong': at + len(data) - len(data.lstrip(byte.encode())), 'why': 'other bytes'}
            left -= len(data)
            at += len(data)
    return {'n': at}


def unread(o):
    n = array.array('i', [0])
    fcntl.ioctl(sockets[o['id']], termios.FIONREAD, n)
    return {'n': n[0]}


def poll(o):
    p = select.epoll()
    p.register(sockets[o['id']], select.EPOLLIN | select.EPOLLRDHUP | (select.EPOLLET if o.get('edge') else 0))
    events = p.poll(o.get('timeout', 1))
    p.close()
    bits = {'in': select.EPOLLIN, 'hup': select.EPOLLHUP, 'rdhup': select.EPOLLRDHUP, 'err': select.EPOLLERR}
    return {'events': [k for k, v in bits.items() if events and events[0][1] & v]}


def shutdown(o):
    sockets[o['id']].shutdown(socket.SHUT_WR)
    return {}


def close(o):
    s = sockets.pop(o['id'])
    if o.get('reset'):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
    return {}


def close_all(o):
    for i in list(sockets):
        sockets.pop(i).close()
    return {}


def setoption(o):
    options(sockets[o['id']], {'options': [[o['level'], o['name'], o['value']]]})
    return {}


def sendfile(o):
    """Random bytes from a file; the other end reads them at the same time."""
    data, got = random.Random(5).randbytes(o['size']), hashlib.sha256()
    with tempfile.TemporaryFile() as f:
        f.write(data)
        f.seek(0)
        c, s = sockets[o['client']], sockets[o['server']]
        c.settimeout(10)
        s.settimeout(10)
        t = threading.Thread(target=lambda: drain(s, got, 0))
        t.start()
        c.sendfile(f)
        c.shutdown(socket.SHUT_WR)
        t.join()
    return {'same': [got.digest() == hashlib.sha256(data).digest()]}


def splice(o):
    """Into a pipe, without blocking."""
    s = sockets[o['id']]
    s.setblocking(False)
    r, w = os.pipe()
    libc = ctypes.CDLL(None, use_errno=True)
    n = libc.splice(s.fileno(), None, w, None, ctypes.c_size_t(o['size']), ctypes.c_uint(2))
    os.close(r)
    os.close(w)
    return {'n': n} if n >= 0 else {'error': errno.errorcode[ctypes.get_errno()]}


def blocked(o):
    """What a thread that is blocked in recv gets when the other end resets, twice."""
    s, c, out = sockets[o['server']], sockets[o['client']], []
    s.settimeout(None)

    def read():
        for _ in range(2):
            try:
                out.append(str(len(s.recv(100))))
            except OSError as e:
                out.append(errno.errorcode[e.errno])
    t = threading.Thread(target=read)
    t.start()
    time.sleep(0.05)
    close({'id': o['client'], 'reset': True})
    t.join()
    return {'events': out}


def pieces(size, seed):
    """`size` pseudo-random bytes in pieces of pseudo-random sizes."""
    r = random.Random(seed)
    block = r.randbytes(1 << 20)
    while size:
        n = min(size, 1 << r.randrange(0, 20))
        at = r.randrange(0, len(block) - n + 1)
        yield block[at:at + n]
        size -= n


def pump(s, size, seed, digest):
    for piece in pieces(size, seed):
        digest.update(piece)
        s.sendall(piece)
    s.shutdown(socket.SHUT_WR)


def drain(s, digest, slow, kept=None):
    n = 0
    while True:
        data = s.recv(random.choice([1000, 65536, 1 << 20]))
        if not data:
            return n
        n += len(data)
        digest.update(data)
        if kept is not None:
            kept.extend(data)
        if slow:
            time.sleep(slow)


def difference(got, size, seed):
    """Where what arrived begins to differ from what was sent, and where in the rest each is found."""
    sent = b''.join(pieces(size, seed))
    at = next((i for i, (a, b) in enumerate(zip(got, sent)) if a != b), min(len(got), len(sent)))
    return {
        'at': at,
        'arrived': len(got),
        'arrivedIsSentAt': sent.find(got[at:at + 64]) if at < len(got) else -1,
        'sentArrivesAt': got.find(sent[at:at + 64]) if at < len(sent) else -1,
    }


def exchange(o):
    """Random bytes both ways at once over a connection of one agent until both ends are read up."""
    ends = [sockets[o['client']], sockets[o['server']]]
    sent, got, counts = [hashlib.sha256(), hashlib.sha256()], [hashlib.sha256(), hashlib.sha256()], [0, 0]
    kept = [bytearray() if o.get('keep') else None for _ in ends]
    for s in ends:
        s.settimeout(o.get('timeout', 60))
    failed = []

    def attempt(what, work, *args):
        try:
            return work(*args)
        except OSError as e:
            failed.append(f'{what}: {errno.errorcode.get(e.errno, e)}')  # a thread's error ends nothing else

    def read(i):
        counts[i] = attempt('reading', drain, ends[i], got[i], o.get('slow', 0), kept[i])
    threads = [threading.Thread(target=attempt, args=('writing', pump, ends[i], o['size'], o.get('seed', 1) + i, sent[i])) for i in (0, 1)]
    threads += [threading.Thread(target=read, args=(i,)) for i in (0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        return {'error': '; '.join(failed)}
    same = [sent[i].digest() == got[1 - i].digest() for i in (0, 1)]
    answer = {'same': same, 'counts': counts}
    if o.get('keep'):
        answer['differences'] = [difference(kept[1 - i], o['size'], o.get('seed', 1) + i) for i in (0, 1) if not same[i]]
    return answer


def churn(o):
    """Many short connections: connect, both ends say a line, close in changing order."""
    l = listen({'host': o.get('host', '127.0.0.1')})
    wrong = 0
    for i in range(o['count']):
        c = socket.create_connection((o.get('host', '127.0.0.1'), l['port']))
        if i % 3:
            c.sendall(b'%d' % i)
        s, _ = sockets[l['id']].accept()
        c.settimeout(10)
        s.settimeout(10)
        if i % 3 == 0:
            c.sendall(b'%d' % i)
        wrong += s.recv(16) != b'%d' % i
        s.sendall(b'-%d' % i)
        wrong += c.recv(16) != b'-%d' % i
        for end in ((c, s) if i % 2 else (s, c)):
            if i % 5 == 0:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            end.close()
    sockets.pop(l['id']).close()
    return {'wrong': wrong}


def hold(o):
    """Opens so many connections to itself, lets both ends of each say a byte, and keeps them."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    l = listen({})
    for i in range(o['count']):
        c = connect({'port': l['port']})['id']
        s = accept({'id': l['id']})['id']
        for a, b in ((c, s), (s, c)):
            sockets[a].sendall(b'x')
            sockets[b].settimeout(10)
            sockets[b].recv(1)
    return {'n': o['count']}


def repeat(o):
    """Sends the last `again` bytes once more, with `size` new ones in the same segments, as after a merged retransmission."""
    s = repair.rewound(sockets.pop(o['id']), o['again'])
    s.sendall(o['old'].encode() * o['again'] + o['new'].encode() * o['size'])
    return {'id': keep(s)}


commands = {f.__name__: f for f in (listen, connect, accept, pair, send, stream, fill, receive, expect, unread, poll, shutdown, close, close_all, setoption, sendfile, splice, blocked, exchange, churn, hold, repeat)}
for line in sys.stdin:
    o = json.loads(line)
    try:
        answer = commands[o['do']](o)
    except OSError as e:
        answer = {'error': 'ETIMEDOUT' if isinstance(e, TimeoutError) and e.errno is None else errno.errorcode.get(e.errno, str(e))}
    print(json.dumps(answer), flush=True)
