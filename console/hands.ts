/** Whether the user holds something that drawing a view again would take away. */

/** After this time an open list, or a selected text, does not keep a view from being drawn. */
const heldMs = { list: 10_000, selection: 60_000 };

let isDown = false;
let touchedAt = 0;

export function watchHands(): void {
  const touch = (down: boolean | undefined) => () => {
    isDown = down ?? isDown;
    touchedAt = Date.now();
  };
  addEventListener('pointerdown', touch(true), true);
  addEventListener('pointerup', touch(false), true);
  addEventListener('pointercancel', touch(false), true);
  addEventListener('keydown', touch(undefined), true);
}

/** A slider that is being dragged, a list that may be open, or a text that is selected. */
export function isHeld(): boolean {
  const since = Date.now() - touchedAt;
  const selected = getSelection();
  return (
    isDown ||
    (document.activeElement instanceof HTMLSelectElement && since < heldMs.list) ||
    (selected !== null && !selected.isCollapsed && since < heldMs.selection)
  );
}
