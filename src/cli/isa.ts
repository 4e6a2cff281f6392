/** `typetwo isa`: lists the instruction set. */
import { instructions } from '../isa/index.ts'
import { formatListing, listInstructions } from '../isa/listing.ts'
import type { CommandHost } from './host.ts'

/** Prints the listing. @returns status 0 */
export async function listIsa(options: { critical?: true }, host: CommandHost): Promise<number> {
  const text = formatListing(listInstructions(instructions), options.critical)
  await new Promise<void>((resolve, reject) => host.stdout.write(text, error => (error ? reject(error) : resolve())))
  return 0
}
