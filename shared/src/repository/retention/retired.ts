/** What an object is tagged with that no point needs any more. Lifecycle rules go by it; nothing else carries it. */
export const retiredTagKey = 'strata-state'
export const retiredTagValue = 'retired'
export const retiredTags = { [retiredTagKey]: retiredTagValue }
