// The vault of this app alone. The app makes the secrets `connection-<id>` and `memory-hash-key`
// itself; there are no placeholders to overwrite.
param token string
param location string
param tags object
param workspaceId string
param publicAccess bool
param recover bool

@secure()
param constantContactClientSecret string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv-${token}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    createMode: recover ? 'recover' : 'default'
    enableRbacAuthorization: true
    enablePurgeProtection: true
    // The least there is: the token of a removed connection should not lie about for long.
    softDeleteRetentionInDays: 7
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: publicAccess ? 'Allow' : 'Deny'
    }
  }
}

// Written only when given: a deployment without it keeps what the vault holds.
resource clientSecret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(constantContactClientSecret)) {
  parent: vault
  name: 'constant-contact-client-secret'
  properties: { value: constantContactClientSecret }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

output vaultId string = vault.id
output vaultName string = vault.name
output vaultUrl string = vault.properties.vaultUri
