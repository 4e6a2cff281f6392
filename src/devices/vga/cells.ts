/** Text as the adapter shows it, for whoever wants no pixels: a file of its own, because the handle needs nothing else of the adapter. */

/** The characters of a text mode: their code points and colors (red in the lowest byte), row after row. */
export interface TextCells {
  readonly columns: number
  readonly rows: number
  readonly characters: Uint16Array
  readonly foreground: Uint32Array
  readonly background: Uint32Array
  /** Where the cursor is, while it is shown: column and row. */
  readonly cursor: readonly [column: number, row: number] | undefined
}

/** The rows of text, joined by newlines, without blanks at their ends. */
export function textOf({ columns, rows, characters }: TextCells): string {
  const lines: string[] = []
  for (let row = 0; row < rows; row++)
    lines.push(String.fromCharCode(...characters.subarray(row * columns, (row + 1) * columns)).trimEnd())
  return lines.join('\n')
}
