import type { ErrorDefinition } from '../errors.ts'

export const destinationErrors = {} as const satisfies Record<string, ErrorDefinition>
