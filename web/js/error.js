/** An error of the library. `kind` is the name of the variant of Rust's `Error`. */
export class RnnError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = "RnnError";
    this.kind = kind;
  }
}
