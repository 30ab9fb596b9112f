import { Argument } from 'commander';
import { counted } from '../../companion/core/mesh/counted.ts';
import { findingsText } from '../core/finding.ts';
import { exitCodes } from '../frame/failure.ts';
import { readWholeMesh } from '../frame/mesh.ts';
import { noNamespace, type Verb } from '../frame/verb.ts';
import { checkNamespace } from '../mesh/check.ts';

export const checkVerb: Verb = {
  usage: 'check',
  about: 'before enabling a namespace: what stands in the way, differs, is cut, would be saved',
  example: ['lazyscope check shop', 'lazyscope check shop -o json'],
  arguments: [new Argument('<namespace>', 'the namespace')],
  async run(session, namespace: string) {
    const mesh = await readWholeMesh(session);
    if (!mesh.state.namespaces.has(namespace)) {
      throw noNamespace(namespace);
    }
    const findings = checkNamespace(mesh, namespace);
    const blocking = findings.filter(({ severity }) => severity === 'blocks').length;
    const verdict =
      blocking === 0
        ? 'Nothing stands in the way of narrowing.'
        : `${counted(blocking, 'finding')} must go before narrowing.`;
    session.show({
      data: { namespace, blocking, findings },
      text: ({ paint }) => `${findingsText(findings, paint)}\n${verdict}\n`,
    });
    return blocking > 0 ? exitCodes.found : undefined;
  },
};
