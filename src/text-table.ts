/** Tables of text. */

/** Columns side by side, two blanks between them, each row a line; trailing blanks are cut. The first row has every column. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const lines = rows.map(row => row.map((cell, column) => cell.padEnd(widths[column])).join('  '))
  return lines.map(line => `${line.trimEnd()}\n`).join('')
}
