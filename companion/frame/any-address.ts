import { networkInterfaces } from 'node:os';

/** All addresses; also works on a kernel without IPv6, where `::` fails. */
export function anyAddress(): '::' | '0.0.0.0' {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((address) => address?.family === 'IPv6') ? '::' : '0.0.0.0';
}
