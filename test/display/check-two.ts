/** Two systems beside each other. */
import type { Check } from './checks.ts'

export const sideBySide: Check = {
  name: 'two',
  how: '',
  shows: '',
  async use() {},
}
