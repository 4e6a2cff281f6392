/** `typetwo isa`: lists the instruction set. */
import { instructions } from '../isa/index.ts'
import { formatListing, listInstructions } from '../isa/listing.ts'
import { type CommandHost, print } from './host.ts'

/** Prints the listing. @returns status 0 */
export async function listIsa(options: { critical?: true }, host: CommandHost): Promise<number> {
  const text = formatListing(listInstructions(instructions), options.critical)
  return print(host, text)
}
