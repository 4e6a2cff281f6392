/** All services, by the name that `m.service` uses. */
import * as interrupts from './interrupts.ts'
import * as ports from './ports.ts'
import * as processor from './processor.ts'
import * as segments from './segments.ts'
import type { Services } from './service.ts'
import * as x87 from './x87.ts'

export type { Service, Services } from './service.ts'

/** One line a file, in alphabetical order. */
export const services: Services = {
  ...interrupts.services,
  ...ports.services,
  ...processor.services,
  ...segments.services,
  ...x87.services,
}
