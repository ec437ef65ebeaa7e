/** A set of 32-bit transaction ids; one bit each, as ids of one transaction lie close together. */

const pageBits = 15
const pageMask = (1 << pageBits) - 1

export class XidSet {
  readonly #pages = new Map<number, Uint8Array>()

  get isEmpty(): boolean {
    return this.#pages.size === 0
  }

  add(xid: number): void {
    const number = xid >>> pageBits
    let page = this.#pages.get(number)
    if (page === undefined) {
      page = new Uint8Array((pageMask + 1) >> 3)
      this.#pages.set(number, page)
    }
    const bit = xid & pageMask
    page[bit >> 3] = (page[bit >> 3] as number) | (1 << (bit & 7))
  }

  has(xid: number): boolean {
    const page = this.#pages.get(xid >>> pageBits)
    if (page === undefined) return false
    const bit = xid & pageMask
    return ((page[bit >> 3] as number) & (1 << (bit & 7))) !== 0
  }
}
