import { version } from '../../companion/frame/version.ts';
import type { Verb } from '../frame/verb.ts';

export const versionVerb: Verb = {
  usage: 'version',
  about: 'the version of this command',
  example: ['lazyscope version -o json'],
  run({ show }) {
    const node = process.versions.node;
    show({ data: { version, node }, text: () => `lazyscope ${version} (Node.js ${node})\n` });
    return undefined;
  },
};
