"""The test host reads Designer files as Slicer does, and raises where Qt prints."""

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")

WRONG_LABEL = (
    '<item><widget class="QLabel" name="x"><property name="txt"><string/></property></widget></item>'
)
FORM = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Form</class>
 <widget class="qMRMLWidget" name="Form">
  <layout class="QVBoxLayout">
   <item>
    <widget class="qMRMLNodeComboBox" name="fixedSelector">
     <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="SlicerParameterName" stdset="0"><string>fixedVolume</string></property>
     {extra}
    </widget>
   </item>
   <item>
    <widget class="ctkCollapsibleButton" name="section">
     <property name="text"><string>Section</string></property>
     <property name="collapsed"><bool>true</bool></property>
     <layout class="QFormLayout">
      <item row="0" column="1"><widget class="ctkSliderWidget" name="slider">
       <property name="minimum"><double>2</double></property>
       <property name="maximum"><double>16</double></property>
       <property name="toolTip"><string>Clusters</string></property>
      </widget></item>
     </layout>
    </widget>
   </item>
   {more}
  </layout>
 </widget>
 <connections>
  <connection>
   <sender>Form</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>fixedSelector</receiver><slot>{slot}</slot>
  </connection>
 </connections>
</ui>
"""


@pytest.fixture
def load(host, tmp_path):
    import slicer

    def load(extra="", more="", slot="setMRMLScene(vtkMRMLScene*)"):
        path = tmp_path / "form.ui"
        path.write_text(FORM.format(extra=extra, more=more, slot=slot), encoding="utf-8")
        return slicer.util.loadUI(str(path))

    return load


def test_widgets_properties_and_connections(load):
    import slicer

    form = load()
    ui = slicer.util.childWidgetVariables(form)
    assert (ui.slider.minimum, ui.slider.maximum, ui.slider.toolTip) == (2.0, 16.0, "Clusters")
    assert ui.section.collapsed and ui.section.text == "Section"
    assert ui.fixedSelector.noneEnabled and ui.fixedSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.fixedSelector.property("SlicerParameterName") == "fixedVolume"
    assert ui.fixedSelector.mrmlScene() is None
    form.setMRMLScene(slicer.mrmlScene)
    assert ui.fixedSelector.mrmlScene() is slicer.mrmlScene
    assert isinstance(ui.fixedSelector, slicer.qMRMLNodeComboBox)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": '<property name="nodeType"><string>x</string></property>'}, "no property nodeType"),
        ({"more": '<item><widget class="qMRMLFancy" name="x"/></item>'}, "no class qMRMLFancy"),
        ({"more": WRONG_LABEL}, "no property txt"),
        ({"slot": "setScene(vtkMRMLScene*)"}, "no slot setScene"),
        ({"slot": "setCurrentNode(vtkMRMLScene*)"}, "no slot setCurrentNode"),
    ],
)
def test_what_slicer_does_not_have_raises(load, change, message):
    from host.ui_loader import UiError

    with pytest.raises(UiError, match=message):
        load(**change)


def test_an_absent_file_raises_as_in_slicer(host, tmp_path):
    import slicer

    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))
