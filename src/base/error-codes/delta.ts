import type { ErrorDefinition } from '../errors.ts'

export const deltaErrors = {} as const satisfies Record<string, ErrorDefinition>
