"""The appliance's client."""

from cerebras.sdk import sdk_utils
from wsekern.sdk.client import SdkCompiler, SdkLauncher, SdkRuntime

__all__ = ["SdkCompiler", "SdkLauncher", "SdkRuntime", "sdk_utils"]
