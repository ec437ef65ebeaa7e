import type { ErrorDefinition } from '../errors.ts'

export const sourceErrors = {
  SOURCE_PROTOCOL_UNEXPECTED: {
    when: 'The source sent bytes that its protocol does not allow here, or of a kind not understood.',
    remedy:
      'Check that nothing between here and the server alters the connection; if it happens again, report the message and the server version as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_VALUE_MALFORMED: {
    when: 'The text of a cell does not read as a value of its column type.',
    remedy:
      'Refresh the table so that its column types are read anew; if it happens again, report the column type and the server version as a defect.',
    retry: 'backoff',
    exitCode: 1,
  },
  SOURCE_VALUE_UNREPRESENTABLE: {
    when: 'A key column holds a value that the destination cannot hold, such as an infinite date or NaN.',
    remedy:
      'Correct or delete the row in the source, or leave the table out; then refresh the table.',
    retry: 'after-remedy',
    exitCode: 1,
  },
} as const satisfies Record<string, ErrorDefinition>
