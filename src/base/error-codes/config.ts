import type { ErrorDefinition } from '../errors.ts'

export const configErrors = {} as const satisfies Record<string, ErrorDefinition>
