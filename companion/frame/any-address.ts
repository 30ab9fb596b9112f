import { networkInterfaces } from 'node:os';

/** All addresses, also where the kernel has no IPv6, which `::` would not survive. */
export function anyAddress(): '::' | '0.0.0.0' {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((address) => address?.family === 'IPv6') ? '::' : '0.0.0.0';
}
