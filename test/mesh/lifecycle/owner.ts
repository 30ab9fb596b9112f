import { startMesh } from '../../../box/mesh.ts';

// Stands in for a test run that owns a mesh. The test kills this process.
await startMesh({ nodes: 1 });
console.error('mine');
setInterval(() => {}, 1000);
