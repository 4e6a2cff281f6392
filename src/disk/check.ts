/** What looking through an image found. */

/** How many of the findings are told in words. */
const MOST_TOLD = 20

/** The findings of a check. */
export class CheckReport {
  /** Sentences, the first {@link MOST_TOLD}. */
  readonly findings: string[] = []
  /** Places where the image contradicts itself. */
  errors = 0
  /** Clusters that are taken, but that nothing refers to: harmless, but lost space. */
  leaks = 0
  /** How many of the errors and leaks were repaired. */
  repaired = 0
  /** Clusters with data. */
  allocated = 0
  /** Clusters of the disk. */
  total = 0

  /** Notes an error. */
  error(sentence: string): void {
    this.errors++
    this.#tell(sentence)
  }

  /** Notes `count` leaked clusters. */
  leak(sentence: string, count = 1): void {
    this.leaks += count
    this.#tell(sentence)
  }

  /** Whether the image is right now. */
  get isGood(): boolean {
    return this.errors + this.leaks === this.repaired
  }

  #tell(sentence: string): void {
    if (this.findings.length < MOST_TOLD) this.findings.push(sentence)
  }
}
