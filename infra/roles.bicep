// Every role assignment of this app, each with its reason. The sign-in identity has none.
param runPrincipalId string
param operatorPrincipalId string
param operatorPrincipalType string
param stateAccountName string
param vaultName string
param insightsName string
param segmentSubscriptionId string
param segmentResourceGroupName string
param segmentAccountName string
param segmentContainerName string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roleIds = {
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  storageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}

resource state 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: stateAccountName
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' existing = {
  parent: state
  name: 'default'
}

resource jobs 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queues
  name: 'export-jobs'
}

resource poison 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' existing = {
  parent: queues
  name: 'export-jobs-poison'
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// The host keeps its locks, timer status, keys and package in blobs, and the app its documents;
// Owner rather than Contributor because the host asks for it and batches carry an index tag.
resource runOwnsState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(state.id, runPrincipalId, roleIds.storageBlobDataOwner)
  scope: state
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.storageBlobDataOwner)
  }
}

// Queues a run's next step and takes it; Contributor because the trigger renews its lock on a
// message, which Message Processor may not.
resource runUsesJobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(jobs.id, runPrincipalId, roleIds.storageQueueDataContributor)
  scope: jobs
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.storageQueueDataContributor)
  }
}

// The host moves a step here after its last failure, and abandon_step closes the run.
resource runUsesPoison 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(poison.id, runPrincipalId, roleIds.storageQueueDataContributor)
  scope: poison
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.storageQueueDataContributor)
  }
}

// Connections come and go while the app runs, each with a secret of its own that a refresh
// rewrites, and the app makes its hash key; a role on single secrets cannot cover what does not
// exist yet. So it may also write the client secrets, which it only reads: all in this vault is its own.
resource runKeepsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, runPrincipalId, roleIds.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.keyVaultSecretsOfficer)
  }
}

// Application Insights takes telemetry from Entra identities only.
resource runSendsTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, runPrincipalId, roleIds.monitoringMetricsPublisher)
  scope: insights
  properties: {
    principalId: runPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.monitoringMetricsPublisher)
  }
}

// Whoever deploys puts the client secret into the vault and renews it later.
resource operatorKeepsSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(vault.id, operatorPrincipalId, roleIds.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.keyVaultSecretsOfficer)
  }
}

// Reads segments: this container, not the account, and never writes. A module of its own only
// because the container may lie in another resource group.
module runReadsSegments 'container-role.bicep' = {
  name: 'segment-reader-${uniqueString(resourceGroup().id)}'
  scope: resourceGroup(segmentSubscriptionId, segmentResourceGroupName)
  params: {
    accountName: segmentAccountName
    containerName: segmentContainerName
    principalId: runPrincipalId
    roleId: roleIds.storageBlobDataReader
  }
}
