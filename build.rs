//! Refuses systems without a source of sockets. The command for Windows gets a version, which its
//! properties show, and a manifest: the command runs with the rights of its caller, and supports
//! the listed versions of Windows.

use std::env;

const NAME: &str = "network-connections";

/// [Application
/// manifests](https://learn.microsoft.com/en-us/windows/win32/sbscs/application-manifests); the id
/// stands for Windows 10, 11 and Server 2016 or newer. The XML declaration is left out: it must
/// come first, but winresource puts a blank before it.
const MANIFEST: &str = r#"<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <trustInfo xmlns="urn:schemas-microsoft-com:asm.v3">
    <security><requestedPrivileges>
      <requestedExecutionLevel level="asInvoker" uiAccess="false"/>
    </requestedPrivileges></security>
  </trustInfo>
  <compatibility xmlns="urn:schemas-microsoft-com:compatibility.v1">
    <application><supportedOS Id="{8e0f7a12-bfb3-4fe8-b9a5-48fd50a15a9a}"/></application>
  </compatibility>
</assembly>
"#;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => {}
        Ok("windows") => resource(),
        _ => println!("cargo::error=only Linux and Windows have a source of sockets"),
    }
}

fn resource() {
    let licence = env::var("CARGO_PKG_LICENSE").unwrap_or_default();
    let mut resource = winresource::WindowsResource::new();
    resource
        .set("FileDescription", "Monitoring check of TCP and UDP connections")
        .set("LegalCopyright", &licence)
        .set("OriginalFilename", &format!("{NAME}.exe"))
        .set_manifest(MANIFEST);
    // The command works without the resource, and some build systems lack a resource compiler.
    if let Err(error) = resource.compile_for(NAME) {
        println!("cargo::warning=no version resource: {error}");
    }
}
