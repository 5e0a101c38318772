/** When to draw: at most once a frame, differently while the picture moves, and once more when it rests. */

const REST_MS = 110;

export class Frames {
  #asked = 0;
  #moving = false;
  #rest: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly draw: (moving: boolean) => void) {}

  /** Something changed: draw in the next frame. */
  ask(): void {
    if (this.#asked) return;
    this.#asked = requestAnimationFrame(() => {
      this.#asked = 0;
      this.draw(this.#moving);
    });
  }

  /** The picture moves: draw in the next frame, and fully when it has rested. */
  move(): void {
    this.#moving = true;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.settle(), REST_MS);
    this.ask();
  }

  /** The picture rests now. */
  settle(): void {
    clearTimeout(this.#rest);
    this.#moving = false;
    this.ask();
  }

  stop(): void {
    clearTimeout(this.#rest);
    cancelAnimationFrame(this.#asked);
  }
}
