import { startMesh } from '../../../box/mesh.ts';

// A stand-in for a test run that owns a mesh, made to be killed.
await startMesh({ nodes: 1 });
console.error('mine');
setInterval(() => {}, 1000);
