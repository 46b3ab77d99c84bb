import eslint from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

/** Clock and chance are passed in (shared/src/clock.ts), so that tests can steer them. */
const ambientTimeAndChance = [
  ['Date', 'now', 'Take a Clock and call nowMs().'],
  ['Math', 'random', 'Take a RandomBytes.'],
  ['performance', 'now', 'Take a Clock and call monotonicMs().'],
].map(([object, property, message]) => ({ object, property, message }))

export default defineConfig(
  globalIgnores(['**/node_modules', 'cdk.out', '.turbo', 'demo-out', 'bench-results']),
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      // The kind of an id is what its caller says: asId<SessionId>(text).
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // TypeScript sees undefined names, also in the plain JavaScript of scripts/.
      'no-undef': 'off',
      'no-restricted-properties': ['error', ...ambientTimeAndChance],
      'no-restricted-syntax': [
        'error',
        { selector: 'NewExpression[callee.name=Date][arguments.length=0]', message: 'Take a Clock and call nowMs().' },
        {
          selector:
            'CallExpression[callee.property.name=get][arguments.length=1]:matches([callee.object.name=store], [callee.object.property.name=/^#?store$/])',
          message:
            'Say which range, or how long the object can be: whoever can write to the store could fill our memory.',
        },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    // Its assertions are true of the numbers as they are; they are there for whoever changes one.
    files: ['shared/src/limits.ts'],
    rules: { '@typescript-eslint/no-unnecessary-condition': 'off' },
  },
  {
    files: ['shared/src/clock.ts', '**/*.test.ts', 'test/**'],
    rules: { 'no-restricted-properties': 'off', 'no-restricted-syntax': 'off' },
  },
  {
    files: ['**/*.test.ts', 'test/**/*.ts'],
    rules: {
      // node:test's test() and suite() return promises that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['test', 'suite', 'describe', 'it'], package: 'node:test' },
          ],
        },
      ],
    },
  },
)
