/** Where the golden files are. */

/** Their folder, with a slash at its end. */
export const FOLDER = new URL('expected/', import.meta.url).pathname

/** The file of a piece of guest code by its name. */
export const fileOf = (name: string): string => `${FOLDER}${name}.txt`
