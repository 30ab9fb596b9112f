// The one WASI function in use; Envoy's host offers it. The file name is the import module's name.

export declare function random_get(at: usize, size: u32): u32;
