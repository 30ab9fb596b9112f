/** Quantities of Kubernetes (apimachinery, resource.Quantity), as far as resources use them. */

const factors: Record<string, number> = {
  ...{ n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** Cores or bytes; undefined: none, or it cannot be read. */
export function readQuantity(text: string | number | undefined): number | undefined {
  const [, number = '', unit = ''] =
    /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([A-Za-z]{0,2})$/.exec(String(text ?? '')) ?? [];
  const factor = factors[unit];
  return number === '' || factor === undefined ? undefined : Number(number) * factor;
}

/** Rounded up to whole MiB; negative sizes are rounded towards zero. */
export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}Mi`;
}
