import { expect, test } from 'vitest';
import { useRig } from './rig.ts';

const rig = useRig();

const mptcp = 262;
const plain = 0;

const cases = [
  // The kernel owns the sockets that carry MPTCP, and a socket map would take these sockets from
  // the kernel.
  { client: mptcp, server: mptcp, redirected: 0, refused: 1 },
  { client: mptcp, server: plain, redirected: 0, refused: 1 },
  // Listeners of Go programs are MPTCP. From a client without MPTCP they accept an ordinary socket.
  { client: plain, server: mptcp, redirected: 40, refused: 0 },
];

const nameOf = (protocol: number) => (protocol === mptcp ? 'MPTCP' : 'TCP');

for (const { client, server, redirected, refused } of cases)
  test(`a client of ${nameOf(client)} and a server of ${nameOf(server)} understand each other, ${redirected ? '' : 'not '}by the bypass`, async () => {
    const loader = await rig.accelerate();
    const { id, port } = await rig.agent.do('listen', { protocol: server });
    const from = await rig.agent.do('connect', { port, protocol: client });
    const to = await rig.agent.do('accept', { id });
    for (let i = 0; i < 20; i++) {
      await rig.agent.do('send', { id: from.id, text: `question ${i}` });
      expect((await rig.agent.do('receive', { id: to.id, size: 99 })).text).toBe(`question ${i}`);
      await rig.agent.do('send', { id: to.id, text: `answer ${i}` });
      expect((await rig.agent.do('receive', { id: from.id, size: 99 })).text).toBe(`answer ${i}`);
    }
    const { hops, counters, sockets } = await loader.stats();
    expect({
      redirected: hops.other.redirectedMessages,
      refused: counters.refused_mptcp,
      sockets,
    }).toEqual({ redirected, refused, sockets: redirected ? 2 : 0 });
    const size = 16 << 20;
    const ends = { client: from.id, server: to.id };
    expect(await rig.agent.do('exchange', { ...ends, size })).toEqual({
      same: [true, true],
      counts: [size, size],
    });
  });
