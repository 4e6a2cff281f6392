/** What a region's function is made of is garbage once it is emitted: of thousands of regions that would be a GiB. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { FunctionBuilder } from '../../ir/function.ts'
import { APART } from '../../memory/layout.ts'
import { I32 } from '../../wasm/types.ts'
import { linkedIndex, relocatable } from './relocatable.ts'

test('a unit does not keep the nodes that it was made of', async () => {
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  const made = () => {
    const f = new FunctionBuilder({ params: [], results: [I32] })
    f.return(linkedIndex(f))
    return { builder: new WeakRef(f), unit: relocatable('unit', f, [], 5, false, APART) }
  }
  const { builder, unit } = made()
  // A WeakRef holds its target until the job is over that made it.
  await new Promise(resolve => setImmediate(resolve))
  gc()
  assert.equal(builder.deref(), undefined)
  const { body } = unit.at(7).emit({ functionIndex: () => 0, typeIndex: () => 0, ram: APART })
  assert.match(Buffer.from(body).toString('hex'), /418780808000/)
})
