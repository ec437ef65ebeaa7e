import type { ErrorDefinition } from '../errors.ts'

export const sourceErrors = {} as const satisfies Record<string, ErrorDefinition>
