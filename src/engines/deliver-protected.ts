/** Exceptions of flat 32-bit protected mode, as generated code: `deliverLong`'s sister (deliver-long.ts). */
import { F, RF, RSP } from '../cpu/state.ts'
import { refreshMode } from '../isa/privilege.ts'
import { enterFlatGate } from '../isa/protected-transfers.ts'
import { routine } from '../isa/semantics.ts'
import { UNUSUAL_VECTORS } from './deliver-long.ts'
import { PieceFlags, StatePieces } from './flags.ts'

/** As `deliverLong`: 1 with the note of the fault cleared, or 0 with nothing changed. */
export const deliverProtected = routine('deliverProtected', [], 32, code => {
  const errorCode = code.variable(32, code.get(F.faultErrorCode)).value
  code.block(unusual => {
    const vector = code.variable(32, code.get(F.faultVector)).value
    code.leave(unusual, vector.gtU(31).or(code.const(UNUSUAL_VECTORS, 32).shr(vector).bit(0)))
    const image = code.variable(32, new PieceFlags(code, new StatePieces(code)).readImage().or(RF)).value
    const returnTo = code.get(F.rip).truncate(32)
    const pointer = code.get(F.gpr, RSP)
    const entry = { vector, software: false, image, returnTo, pointer, errorCode }
    const { target, stack } = enterFlatGate(code, entry, unusual)
    code.set(F.gpr, stack, RSP)
    code.set(F.rip, target)
    code.set(F.fault, 0)
    code.call(refreshMode)
    code.f.return(code.f.const32(1))
  })
  code.set(F.faultErrorCode, errorCode)
  return code.const(0, 32)
})
