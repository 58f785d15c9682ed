// What operators are told, and what to do about it.
// The queries name events of shared/events.py; a test compares the two.
param token string
param location string
param tags object
param insightsId string
param alertEmail string
param nothingNewDays int

resource owners 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'exports'
    enabled: true
    emailReceivers: empty(alertEmail) ? [] : [{ name: 'owners', emailAddress: alertEmail, useCommonAlertSchema: true }]
  }
}

// What is the same for all: looked at every quarter of an hour, one mail when it happened.
var everyAlert = {
  enabled: true
  scopes: [insightsId]
  evaluationFrequency: 'PT15M'
  windowSize: 'PT15M'
  autoMitigate: false
  actions: { actionGroups: [owners.id] }
}

resource poison 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-poison-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: a step failed on every try'
    description: 'The run it belonged to is closed as failed and nothing is sent twice. Open the run in the console, read its error, then start the export again. If several come at once, look at the failures in Application Insights first: the cause is shared.'
    severity: 1
    criteria: {
      allOf: [
        {
          query: 'traces | where message has "export-jobs-poison"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
  })
}

resource failed 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-failed-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: a run failed'
    description: 'Open the run in the console: it says why, and what to do next. Batches that were not accepted are kept for seven days and can be sent again from there.'
    severity: 2
    criteria: {
      allOf: [
        {
          query: 'traces | where tostring(customDimensions.event) == "run_failed" | project timestamp, export_id = tostring(customDimensions.export_id), run = tostring(customDimensions.run_id), code = tostring(customDimensions.code)'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            { name: 'export_id', operator: 'Include', values: ['*'] }
            { name: 'code', operator: 'Include', values: ['*'] }
          ]
        }
      ]
    }
  })
}

resource unreconciled 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-unreconciled-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: a run does not add up'
    description: 'Constant Contact did not account for every contact that was sent. Compare the counts of the run in the console with the import activities of the same time in Constant Contact; start the export with a full run to send everybody again, which changes nothing for those who arrived.'
    severity: 1
    criteria: {
      allOf: [
        {
          query: 'traces | where tostring(customDimensions.event) == "run_unreconciled" | project timestamp, export_id = tostring(customDimensions.export_id), run = tostring(customDimensions.run_id)'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'export_id', operator: 'Include', values: ['*'] }]
        }
      ]
    }
  })
}

resource reconnect 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-reconnect-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: a connection has to be approved again'
    description: 'Constant Contact no longer accepts the stored consent, so nothing is sent over this connection. An administrator opens the connection in the console, chooses Connect and signs in to Constant Contact. If that fails too, check the client secret in the vault.'
    severity: 1
    criteria: {
      allOf: [
        {
          query: 'traces | where tostring(customDimensions.event) == "reconnect_required" | project timestamp, connection = tostring(customDimensions.connection_id)'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'connection', operator: 'Include', values: ['*'] }]
        }
      ]
    }
  })
}

// Looks back two days, the longest an alert may, so that a timer that looks once a day is seen:
// each export's latest word counts, and that says itself for how many days there was nothing.
resource nothingNew 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-nothing-new-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: nothing new came for an export'
    description: 'The timer looks, but for days there was no new complete snapshot of this export\'s segments. Check that Customer Insights refreshed them and still writes to the container, and in the console whether the segment is found and complete. If refreshes come less often than the rule expects, deploy with a larger nothingNewDays.'
    severity: 2
    evaluationFrequency: 'PT1H'
    windowSize: 'P2D'
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: 'traces | where tostring(customDimensions.event) in ("nothing_new", "run_queued") | extend export_id = tostring(customDimensions.export_id), days = coalesce(todouble(customDimensions.days), 0.0) | summarize arg_max(timestamp, days) by export_id | where days >= ${nothingNewDays}'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'export_id', operator: 'Include', values: ['*'] }]
        }
      ]
    }
  })
}

// Every round of the timer counts the calls; no count, no round.
resource silent 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-silent-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: the timer does not run'
    description: 'schedule_exports made no round for two days, so nothing starts by itself, nobody notices new segments, and staged personal data is not removed. Check that the function is enabled and listed in the portal; if the list is empty, the log stream names the setting that is wrong. If the daily cap of the logs was reached, only the logs are missing.'
    severity: 1
    evaluationFrequency: 'PT1H'
    windowSize: 'P2D'
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: 'traces | where tostring(customDimensions.event) == "calls_counted" | summarize rounds = count() | where rounds == 0'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
  })
}

// 403 only: the vault answers every first call with 401, by design.
resource refused 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'alert-refused-${token}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: union(everyAlert, {
    displayName: 'Segment exports: the vault or storage refused the app'
    description: 'The run identity (id-run-...) lacks a role, or a firewall is in the way. Compare its role assignments with docs/deployment.md, above all Storage Blob Data Reader on the segment container. Right after a deployment roles take some minutes; then start the run again in the console.'
    severity: 1
    criteria: {
      allOf: [
        {
          query: 'union (traces | where tostring(customDimensions.event) == "access_refused"), (dependencies | where resultCode == "403" and (target has ".vault." or target has ".blob." or target has ".queue."))'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
  })
}
